// Package remap keeps the numbers of one direction of a connection straight after a
// box has shifted them, or put bytes in, taken some out or replaced them. What its
// sender numbers n its receiver knows under ToReceiver(n); what the receiver
// acknowledges with a, the sender is told with ToSender(a).
//
//	sender    ... 10 11 12 13 | 14 15 16 17 | 18 19 ...
//	                            \         /
//	                             replaced by "xy": at 14, del 4
//	receiver  ... 10 11 12 13 |  x   y  | 16 17 ...
//
// The content of an edit belongs to the byte that it stands at: a segment which carries
// this byte carries the whole content, and one that begins inside of what was
// taken out carries nothing of it. So the stream comes out the same however it is cut,
// lost and sent again.
package remap

import (
	"slices"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// Most is how many edits a Map keeps, and so how many may wait for their acknowledgment.
const Most = 1 << 14

// A Map is one direction of a connection: its numbers, and those edits that its
// receiver has not yet acknowledged. The zero value changes nothing. One goroutine owns it.
type Map struct {
	base  uint32 // what is added to numbers before all edits
	edits []edit // by place, none overlaps another

	floor   seq.Num // where the receiver's numbers go by base, if some went otherwise once
	floored bool
}

// An edit is one place where the receiver's stream is another than the sender's.
type edit struct {
	at   seq.Num // of the sender's first byte that is taken out, or before which something is put in
	del  uint32  // how many bytes are taken out
	ins  uint32  // how many numbers are put in
	with string  // their content; of a FIN there is none
	base uint32  // what is added to the numbers behind the edit
}

// end is where the sender goes on behind the edit.
func (e *edit) end() seq.Num { return e.at.Add(e.del) }

// last and first are where the receiver's view of the edit ends and begins.
func (e *edit) last() seq.Num  { return e.end().Add(e.base) }
func (e *edit) first() seq.Num { return e.last().Add(-e.ins) }

// fin tells whether the edit is a FIN that the sender has not sent.
func (e *edit) fin() bool { return e.ins > 0 && e.with == "" }

// Identity tells whether the map changes nothing.
func (m *Map) Identity() bool { return m.base == 0 && len(m.edits) == 0 }

// Shift moves all numbers by so many, back if it is the negative of a size.
func (m *Map) Shift(by uint32) {
	m.base += by
	m.floor = m.floor.Add(by)
	m.move(0, by)
}

// move adds to the numbers behind the edits from i on.
func (m *Map) move(i int, by uint32) {
	for ; i < len(m.edits); i++ {
		m.edits[i].base += by
	}
}

// Room is how many more edits the map takes.
func (m *Map) Room() int { return Most - len(m.edits) }

// Replace puts other bytes in the place of del bytes at a number; with none of them
// it is an insertion before the byte there, with nothing to put in a deletion.
// Whoever does so knows that nothing from there on has reached the receiver. It is
// false, and does nothing, where there is an edit already or the map is full.
func (m *Map) Replace(at seq.Num, del uint32, with string) bool {
	if del == 0 && len(with) == 0 || m.Room() <= 0 || m.taken(at, del) {
		return false
	}
	m.add(edit{at: at, del: del, ins: uint32(len(with)), with: with})
	return true
}

// Replaced tells whether bytes from a number on are taken out or replaced already.
func (m *Map) Replaced(at seq.Num) bool {
	i := m.from(at.Add(1)) - 1
	return i >= 0 && m.edits[i].at == at && m.edits[i].del > 0
}

// PutFIN puts a FIN before a number, under which nothing has been sent yet. It is
// false if there is one already.
func (m *Map) PutFIN(at seq.Num) bool {
	if _, has := m.FIN(); has || m.Room() <= 0 {
		return false
	}
	m.add(edit{at: at, ins: 1})
	return true
}

// FIN is the number under which the receiver knows a FIN that was put in.
func (m *Map) FIN() (n seq.Num, ok bool) {
	if i := slices.IndexFunc(m.edits, func(e edit) bool { return e.fin() }); i >= 0 {
		return m.edits[i].first(), true
	}
	return 0, false
}

// Close tells that the sender itself has sent a FIN of this number. If one was put
// there, it is this one from now on.
func (m *Map) Close(at seq.Num) {
	i := slices.IndexFunc(m.edits, func(e edit) bool { return e.fin() })
	if i >= 0 && m.edits[i].at == at {
		m.edits = slices.Delete(m.edits, i, i+1)
		m.move(i, ^uint32(0))
	}
}

// taken tells whether the place of a new edit meets one that is there. Before a byte
// something may be put in that has an edit already.
func (m *Map) taken(at seq.Num, del uint32) bool {
	i := m.from(at)
	if i > 0 && at.Less(m.edits[i-1].end()) {
		return true
	}
	for ; i < len(m.edits) && m.edits[i].at.Less(at.Add(del)); i++ {
		if e := &m.edits[i]; e.del > 0 || e.at != at {
			return true
		}
	}
	return false
}

// add puts an edit at its place: behind what was put in there before, and before what
// takes the byte out.
func (m *Map) add(e edit) {
	i := m.from(e.at.Add(1))
	if i > 0 && m.edits[i-1].at == e.at && m.edits[i-1].del > 0 {
		i--
	}
	e.base = m.before(i) + e.ins - e.del
	m.edits = slices.Insert(m.edits, i, e)
	m.move(i+1, e.ins-e.del)
}

// from is the first edit at a number or behind it.
func (m *Map) from(n seq.Num) int {
	i, _ := slices.BinarySearchFunc(m.edits, n, func(e edit, n seq.Num) int { return int(int32(e.at - n)) })
	return i
}

// before is what is added to the numbers just before an edit.
func (m *Map) before(i int) uint32 {
	if i == 0 {
		return m.base
	}
	return m.edits[i-1].base
}

// ToReceiver is the number under which the receiver knows a byte of the sender. One
// that was taken out has that of the byte behind it; the first of those that were
// replaced has that of their content.
func (m *Map) ToReceiver(n seq.Num) seq.Num {
	i := m.from(n.Add(1))
	if i == 0 {
		return n.Add(m.base)
	}
	e := &m.edits[i-1]
	switch {
	case n == e.at && e.del > 0:
		return e.first()
	case n.Less(e.end()):
		return e.last()
	}
	return n.Add(e.base)
}

// ToSender is what an acknowledgment tells the sender: the end of what the receiver
// has got all of. What was taken out counts as soon as all before it has been acknowledged; a
// content that was acknowledged in part does not.
func (m *Map) ToSender(ack seq.Num) seq.Num {
	e := m.meets(ack)
	switch {
	case e == nil:
		return ack.Add(-m.base)
	case ack.Less(e.last()):
		return e.at
	}
	return ack.Add(-e.base)
}

// Block is what a SACK block tells the sender, its ends moved inwards where they lie
// inside a content, or before what is known of the numbers. It may come out empty.
func (m *Map) Block(r seq.Range) seq.Range {
	if m.floored {
		r.From = seq.Max(r.From, m.floor)
		r.To = seq.Max(r.From, r.To)
	}
	from, to := m.ToSender(r.From), m.ToSender(r.To)
	if e := m.meets(r.From); e != nil && e.first() != r.From && r.From.Less(e.last()) {
		from = e.end()
	}
	return seq.Range{From: from, To: seq.Max(from, to)}
}

// meets is the last edit that begins at a number of the receiver or before it.
func (m *Map) meets(n seq.Num) *edit {
	i, _ := slices.BinarySearchFunc(m.edits, n.Add(1), func(e edit, n seq.Num) int { return int(int32(e.first() - n)) })
	if i == 0 {
		return nil
	}
	return &m.edits[i-1]
}

// Acked forgets the edits that the receiver has acknowledged wholly. A FIN stays until
// the sender's own is there.
func (m *Map) Acked(ack seq.Num) {
	n := 0
	for n < len(m.edits) && !m.edits[n].fin() && m.edits[n].last().LessEq(ack) {
		n++
	}
	if n > 0 {
		m.base = m.edits[n-1].base
		m.floor, m.floored = m.edits[n-1].last(), true
		m.edits = m.edits[n:]
	}
	if m.floor.Size(ack) > longAgo {
		m.floored = false
	}
}

// longAgo is further back than any SACK block tells of, and near enough to be compared.
const longAgo = 1 << 30
