package engine

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// What a segment carries, as rules ask for it: its place in the stream, its
// options, its payload.

// A stream keeps count of the bytes of one direction beyond the 4 GiB that
// sequence numbers tell apart. Byte 0 is the one after the SYN, or the first that
// was seen of a connection that was picked up. It counts from when the first
// rule concerns the connection; what was sent before counts modulo 2^32.
type stream struct {
	known bool
	isn   seq.Num
	at    seq.Num // the rightmost number sent
	off   int64   // its offset
}

// note moves the mark to where the endpoint stands, which has just sent.
func (s *stream) note(e *conntrack.Endpoint) {
	isn, ok := e.ISN()
	if !ok || e.Prior() {
		return
	}
	next := e.Next()
	switch {
	case !s.known || s.isn != isn:
		*s = stream{known: true, isn: isn, at: next, off: int64(isn.Size(next)) - 1}
	case s.at.Less(next):
		s.off += int64(s.at.Size(next))
		s.at = next
	}
}

// offset is the offset of a number; that of the SYN is -1.
func (s *stream) offset(n seq.Num) int64 { return s.off + int64(int32(n-s.at)) }

// nowhere is the offset of what has no place in a stream.
const nowhere = math.MinInt64

// offset is where the payload of the segment in hand begins in its direction's
// stream, or would begin if it had any.
func (j *Journey) offset() int64 {
	s := &j.flow.streams[j.Dir]
	if !s.known || j.Kinds.Has(conntrack.KindICMP) {
		return nowhere
	}
	n := j.Seg.Seq
	if j.Seg.Flags.Has(wire.SYN) {
		n = n.Add(1)
	}
	return s.offset(n)
}

// options are the kinds of the TCP options of the segment in hand.
func (j *Journey) options() (carried rules.OptionSet) {
	if j.Kinds.Has(conntrack.KindICMP) {
		return carried
	}
	o := j.packet.Options()
	for kind, _, ok := o.Next(); ok; kind, _, ok = o.Next() {
		carried.Add(kind)
	}
	return carried
}

// payload is what the segment in hand carries, as a part of its packet.
func (j *Journey) payload() []byte {
	if j.Kinds.Has(conntrack.KindICMP) {
		return nil
	}
	s := j.packet.At(j.place)
	return j.packet.Payload()[s.Off : s.Off+s.Len]
}

// beginning is the first bytes of a payload, and how many they are, as a near
// miss keeps them.
func beginning(payload []byte) int64 {
	var b [8]byte
	b[7] = byte(copy(b[:7], payload))
	return int64(binary.BigEndian.Uint64(b[:]))
}

// payloadWords is a beginning as people read it.
func payloadWords(saw int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(saw))
	switch n := b[7]; n {
	case 0:
		return "no payload"
	case 7:
		return fmt.Sprintf("%q...", b[:n])
	default:
		return fmt.Sprintf("%q", b[:n])
	}
}

// optionWords are the options up to kind 63, one bit each.
func optionWords(saw int64) string {
	if saw == 0 {
		return "none"
	}
	return rules.OptionSet{uint64(saw)}.String()
}

// offsetWords is an offset as people read it.
func offsetWords(saw int64) string {
	if saw == nowhere {
		return "none"
	}
	return strconv.FormatInt(saw, 10)
}
