package engine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// An offset is how far a number is from the exact one.
type offset int32

// UnmarshalText reads exact, or an integer.
func (o *offset) UnmarshalText(text []byte) error {
	if *o = 0; string(text) == "exact" {
		return nil
	}
	n, err := strconv.ParseInt(string(text), 10, 32)
	if err != nil {
		return fmt.Errorf(`%q is no offset; write "exact", or an integer like -1`, text)
	}
	*o = offset(n)
	return nil
}

// String is the offset as a rule file writes it.
func (o offset) String() string {
	if o == 0 {
		return "exact"
	}
	return fmt.Sprintf("%+d", int32(o))
}

// mostOptions is the room for options in a TCP header.
const mostOptions = 40

// A segmentOption is a TCP option of a forged segment.
type segmentOption struct {
	kind uint8
	data []byte // of timestamps there is none: they are made as the segment leaves
}

var errOption = errors.New(`write timestamps, mss=536, wscale=7, sack-permitted, nop, or KIND:HEX as in 254:f989cafe`)

// UnmarshalText reads an option as the reference has it.
func (o *segmentOption) UnmarshalText(text []byte) error {
	word := string(text)
	name, value, hasValue := strings.Cut(word, "=")
	kind, digits, isRaw := strings.Cut(word, ":")
	switch {
	case isRaw:
		return o.readRaw(kind, digits)
	case word == "timestamps":
		*o = segmentOption{kind: wire.OptTimestamps}
	case word == "sack-permitted":
		*o = segmentOption{kind: wire.OptSACKPermitted}
	case word == "nop":
		*o = segmentOption{kind: wire.OptNOP}
	case name == "mss" && hasValue:
		return o.readNumber(wire.OptMSS, value, 2)
	case name == "wscale" && hasValue:
		return o.readNumber(wire.OptWScale, value, 1)
	default:
		return fmt.Errorf("%q is no option that can be forged; %w", word, errOption)
	}
	return nil
}

// readNumber reads the value of an option, of so many bytes.
func (o *segmentOption) readNumber(kind uint8, text string, size int) error {
	n, err := strconv.ParseUint(text, 10, 8*size)
	if err != nil {
		return fmt.Errorf("%q is not a number of %d bits", text, 8*size)
	}
	*o = segmentOption{kind, []byte{byte(n >> 8), byte(n)}[2-size:]}
	return nil
}

// readRaw reads the number of a kind and its data.
func (o *segmentOption) readRaw(kind, digits string) error {
	n, err := strconv.ParseUint(kind, 10, 8)
	if err != nil || uint8(n) <= wire.OptNOP {
		return fmt.Errorf("%q is not the number of an option, from 2 to 255", kind)
	}
	data, err := hex.DecodeString(digits)
	if err != nil {
		return fmt.Errorf("%q are no bytes; write two hexadecimal digits for each", digits)
	}
	*o = segmentOption{uint8(n), data}
	return nil
}

// size is how many bytes the option takes.
func (o *segmentOption) size() int {
	switch {
	case o.kind == wire.OptNOP:
		return 1
	case o.stamps():
		return 10
	}
	return 2 + len(o.data)
}

// stamps tells that the option is the timestamps of the moment.
func (o *segmentOption) stamps() bool { return o.kind == wire.OptTimestamps && o.data == nil }

// appendTo appends the option for a segment towards an endpoint. Its timestamps are the
// newest that this one has got, or 1 if it has got none yet.
func (o *segmentOption) appendTo(dst []byte, b *Box, c *conntrack.Conn, to conntrack.Dir) []byte {
	switch {
	case o.kind == wire.OptNOP:
		return append(dst, o.kind)
	case o.stamps():
		recent, ok := c.End(to).NewestTS()
		if !ok {
			recent = 1
		}
		return wire.AppendTimestamps(dst, recent, 0)
	}
	return append(append(dst, o.kind, uint8(o.size())), o.data...)
}
