package engine

import (
	"bytes"
	"fmt"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/remap"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// replaceFault edits what is found in a segment's payload; a find that lies across two segments
// is none. Where the length changes, numbers are translated from there on, and the
// edit holds for all retransmissions, however they are cut and whether or not the
// rule fires on them. It has to be made before later data has reached the receiver:
// behind a rule that drops segments it may come too late.
//
// Edits of the length stand beside each other, in the sender's numbers, and no rule looks
// into what another has put in: so a retransmission, which may be cut in another way and meet other
// rules, comes out the same.
type replaceFault struct {
	Find string `rule:"find" doc:"what is replaced, each time that it occurs; not in what another replace has put in" required:"true"`
	With string `rule:"with" doc:"what by; its length may be another, nothing too" empty:"true"`
}

var _ = register("replace", "edit the payload, and keep the numbers straight where its length changes", onward, func() Fault { return new(replaceFault) })

// mostWith bounds what comes into the place of each find, in bytes.
const mostWith = 16 << 10

// Check refuses to look for nothing.
func (f *replaceFault) Check() []rules.Problem {
	switch {
	case f.Find == "":
		return []rules.Problem{{Key: "find", Err: "must not be empty"}}
	case len(f.With) > mostWith:
		return []rules.Problem{{Key: "with", Err: fmt.Sprintf("has %d bytes; at most %d fit", len(f.With), mostWith)}}
	}
	return nil
}

func (f *replaceFault) Apply(j *Journey) {
	if j.Kinds.Has(conntrack.KindICMP) || j.Seg.Len == 0 {
		return
	}
	b := j.box
	b.finds = f.finds(b.finds[:0], j.payloadNow())
	switch {
	case len(b.finds) == 0:
		return
	case len(f.Find) == len(f.With):
		f.overwrite(j, b.finds)
	default:
		f.resize(j, b.finds)
	}
}

// payloadNow is what the segment carries, with what rules have done to it so far.
func (j *Journey) payloadNow() []byte {
	if j.own != nil {
		return j.own.Bytes()[j.packet.HeaderLen():]
	}
	return j.payload()
}

// finds appends the places of a payload where there is something to be replaced.
func (f *replaceFault) finds(dst []uint32, payload []byte) []uint32 {
	find := []byte(f.Find)
	for at := 0; ; {
		i := bytes.Index(payload[at:], find)
		if i < 0 {
			return dst
		}
		dst = append(dst, uint32(at+i))
		at += i + len(find)
	}
}

// overwrite replaces in a copy of the segment.
func (f *replaceFault) overwrite(j *Journey, finds []uint32) {
	packet := j.copyOwn().Bytes()
	for _, at := range finds {
		copy(packet[j.packet.HeaderLen()+int(at):], f.With)
	}
	if !j.mods.spoiled {
		wire.FixChecksums(packet)
	}
	j.tell("replace", func() string { return fmt.Sprintf("%d times", len(finds)) })
}

const tooManyEdits = "too many edits wait for their acknowledgment"

// resize replaces in the direction's map. A segment with more finds than that has room
// for is dropped, and everything behind it, until the receiver has acknowledged
// some; it comes again.
func (f *replaceFault) resize(j *Journey, finds []uint32) {
	t := j.box.translationOf(j.Conn)
	m := &t.maps[j.Dir]
	finds, late := j.fresh(m, finds)
	if len(finds) > m.Room() && m.Room() < remap.Most {
		t.stuck[j.Dir] = stuck{j.Seg.Seq, true}
		if j.decide(Drop) {
			j.reason = LossQueue.String()
			j.box.overflow(j, tooManyEdits)
		}
		return
	}
	n := 0
	for _, at := range finds {
		if m.Replace(j.number(at), uint32(len(f.Find)), f.With) {
			n++
		}
	}
	if n > 0 {
		j.Conn.Edited(j.Dir)
	}
	j.tell("replace", func() string {
		if late > 0 {
			return fmt.Sprintf("%d times; %d too late, what follows has gone", n, late)
		}
		return fmt.Sprintf("%d times", n)
	})
}

// fresh keeps of the finds in the segment in hand those that are to be replaced now. The
// others have been in an earlier transmission, or it is too late for them: the receiver
// has what follows.
func (j *Journey) fresh(m *remap.Map, finds []uint32) (open []uint32, late int) {
	peer := j.Conn.End(j.Dir.Peer())
	_, met := peer.PeerISN()
	open = finds[:0]
	for _, at := range finds {
		switch n := j.number(at); {
		case m.Replaced(n):
		case met && m.ToReceiver(n).Less(peer.Highest()):
			late++
		default:
			open = append(open, at)
		}
	}
	return open, late
}

// number is the sequence number of a byte of the payload in hand.
func (j *Journey) number(at uint32) seq.Num {
	if j.Seg.Flags.Has(wire.SYN) {
		at++
	}
	return j.Seg.Seq.Add(at)
}
