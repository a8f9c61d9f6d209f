package rules

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// Patterns are regular expressions in RE2 syntax, as alternatives; none at all
// means every payload.
type Patterns []*regexp.Regexp

// Match tells whether one of them is found in the payload of a segment.
func (ps Patterns) Match(payload []byte) bool {
	for _, p := range ps {
		if p.Match(payload) {
			return true
		}
	}
	return len(ps) == 0
}

// String lists the expressions.
func (ps Patterns) String() string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = strconv.Quote(p.String())
	}
	return strings.Join(texts, ", ")
}

// readPatterns compiles one expression or a list of them.
func readPatterns(v tomldoc.Value) (ps Patterns) {
	for _, item := range v.List() {
		text, ok := item.Text()
		if !ok {
			continue
		}
		p, err := regexp.Compile(text)
		if err != nil {
			item.Errorf("%q is not a regular expression: %s", text, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
			continue
		}
		ps = append(ps, p)
	}
	return ps
}

// Bytes are byte strings, as alternatives; none at all means every payload.
type Bytes [][]byte

// Match tells whether one of them is found in the payload of a segment.
func (bs Bytes) Match(payload []byte) bool {
	for _, b := range bs {
		if bytes.Contains(payload, b) {
			return true
		}
	}
	return len(bs) == 0
}

// String lists them in hexadecimal.
func (bs Bytes) String() string {
	texts := make([]string, len(bs))
	for i, b := range bs {
		texts[i] = fmt.Sprintf("% x", b)
	}
	return strings.Join(texts, ", ")
}

// readBytes reads "16 03 01" or a list of such texts; blanks are free.
func readBytes(v tomldoc.Value) (bs Bytes) {
	for _, item := range v.List() {
		text, ok := item.Text()
		if !ok {
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil || len(b) == 0 {
			item.Errorf(`%q is not bytes in hexadecimal; write them like "16 03 01"`, text)
			continue
		}
		bs = append(bs, b)
	}
	return bs
}
