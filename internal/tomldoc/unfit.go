package tomldoc

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// What the parser would say too little about, or at another place, or after an hour, is
// found before it is asked.

// unfit finds the first byte because of which a text cannot be read at all.
func unfit(text string) (at span, why string) {
	if at, why = unreadable(text); why == "" {
		at, why = tooDeep(text)
	}
	return at, why
}

// unreadable finds the first byte that no TOML text has anywhere.
func unreadable(text string) (at span, why string) {
	for i, r := range text {
		switch {
		case r == '\t' || r == '\n' || r == '\r' && strings.HasPrefix(text[i+1:], "\n"):
		case r == 0:
			return span{i, i + 1}, "a NUL byte, as in UTF-16; save the file as UTF-8"
		case r < ' ' || r == 0x7f:
			return span{i, i + 1}, fmt.Sprintf(`control character 0x%02x; in a string with double quotes write "\u%04x"`, r, r)
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			return span{i, i + 1}, fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as that", text[i])
		}
	}
	return span{}, ""
}

// mostNested is far more than any key of ours needs. The parser's time and memory grow with
// the square.
const mostNested = 100

// tooDeep finds where tables and lists, or the parts of a key, are nested too deep.
func tooDeep(text string) (at span, why string) {
	depth, parts := 0, 0
	for s := (scanner{text: text}); s.pos < len(text); {
		switch c := s.peek(); c {
		case '"', '\'':
			s.quoted()
			continue
		case '#':
			s.comment()
			continue
		case '{', '[':
			depth, parts = depth+1, 0
		case '}', ']':
			depth--
		case '.':
			parts++
		case '=', ',', '\n':
			parts = 0
		}
		if depth > mostNested || parts > mostNested {
			return span{s.pos, s.pos + 1}, fmt.Sprintf("nested more than %d deep", mostNested)
		}
		s.pos++
	}
	return span{}, ""
}

// aboutValue are the parser's messages about a value, and not about a key or what is within quotes.
var aboutValue = regexp.MustCompile(`^(expected (value|a comma|a top-level|a digit)|floats must)`)

// unquoted finds the value of a line that is a word, with something in it that no number has.
var unquoted = regexp.MustCompile(`[=\[,]\s*([<>=!]*[^\s"'=\[\]{},#]*[^\s"'=\[\]{},#0-9._+-][^\s"'=\[\]{},#]*)$`)

// hint is what the parser does not say: that a text, a duration or a percentage wants quotes.
func (d *Doc) hint(at span) string {
	if at.start > len(d.text) {
		return ""
	}
	end := len(d.text)
	if i := strings.IndexAny(d.text[at.start:], " \t\r\n,]}#"); i >= 0 {
		end = at.start + i
	}
	begin := strings.LastIndexByte(d.text[:at.start], '\n') + 1
	m := unquoted.FindStringSubmatch(d.text[begin:end])
	switch {
	case m == nil:
		return ""
	case strings.EqualFold(m[1], "true") || strings.EqualFold(m[1], "false"):
		return "; write " + strings.ToLower(m[1])
	}
	return fmt.Sprintf("; a text has quotes: %q", m[1])
}
