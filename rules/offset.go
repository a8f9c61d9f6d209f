package rules

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// An Offset is a place in the stream of one direction, in payload bytes from 0:
// a range for the place of a segment's first byte, or a byte that it must contain.
type Offset struct {
	Range
	Contains bool // it contains the byte Range.Lo
}

// Match tells whether a segment is meant that carries the payload bytes from off
// up to, but not including, off+size.
func (o Offset) Match(off, size int64) bool {
	if o.Contains {
		return off <= o.Lo && o.Lo < off+size
	}
	return o.Range.Match(off)
}

// String is the offset as a rule file writes it.
func (o Offset) String() string {
	if o.Contains {
		return "contains " + strconv.FormatInt(o.Lo, 10)
	}
	return o.Range.String()
}

// Offsets are alternatives; none at all means every place.
type Offsets []Offset

// Match tells whether a segment with the payload [off, off+size) is meant.
func (all Offsets) Match(off, size int64) bool {
	for _, o := range all {
		if o.Match(off, size) {
			return true
		}
	}
	return len(all) == 0
}

// String lists the offsets.
func (all Offsets) String() string { return list(all) }

// readOffsets reads what readRanges does, and "contains 4096".
func readOffsets(v tomldoc.Value) (all Offsets) {
	for _, item := range v.List() {
		offsets, err := offsetsOf(item.Any())
		if err != nil {
			item.Errorf("%w", err)
		}
		all = append(all, offsets...)
	}
	return all
}

func offsetsOf(data any) (all Offsets, err error) {
	text, _ := data.(string)
	if n, ok := strings.CutPrefix(text, "contains "); ok {
		at, err := strconv.ParseUint(strings.TrimSpace(n), 10, 63)
		if err != nil {
			err = fmt.Errorf(`%q names no byte; write "contains 4096"`, text)
		}
		return Offsets{{Range{int64(at), int64(at)}, true}}, err
	}
	rs, err := rangesOf(data, 0, math.MaxInt64)
	for _, r := range rs {
		all = append(all, Offset{Range: r})
	}
	return all, err
}
