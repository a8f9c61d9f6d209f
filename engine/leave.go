package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// pending is what a fault lets leave besides the segment itself.
type pending struct {
	buf      *Buf  // a packet, or
	maker    maker // what makes it when it leaves, towards
	to       conntrack.Dir
	after    time.Duration
	late     time.Duration // the same, if the segment in hand is dropped
	fit      bool          // move its numbers to where its receiver waits, as it leaves
	mods     mods          // of a copy
	rule     *rule
	numbered numbering       // of a copy
	kinds    conntrack.Kinds // the same; what is forged is known by its flags
}

// A maker forges a packet at the moment it leaves, when the numbers of its
// target are known. It returns nil if there is nothing to be made.
type maker interface {
	make(b *Box, c *conntrack.Conn, to conntrack.Dir) *Buf
}

// leave lets out what has waited, or was forged, and tells its receiver.
func (b *Box) leave(w wait) {
	if w.maker != nil {
		b.leaveForged(w)
		return
	}
	defer w.buf.Free()
	p, h := &b.leaving, w.buf.Header
	if w.raw || p.Parse(w.buf.Bytes(), h.GSO(), h.Partial()) != wire.OK {
		b.leaveOther(&w)
		return
	}
	if w.to == 0 {
		w.to = p.Segments()
	}
	c, d := b.table.FindPacket(p)
	if w.to-w.from > 1 && b.overtaking(c) {
		b.leaveSingly(w)
		return
	}
	if w.fit && c != nil {
		b.fitIntoWindow(p, c, d.Peer())
	}
	b.gone = w
	g := departure{
		mods: w.mods, packet: p, header: h, side: 1 - w.side,
		conn: c, dir: d, translation: b.translationFor(w.numbered, c), wait: &b.gone,
	}
	if !b.departAfterWait(&g) {
		return
	}
	if w.verdict == Forged {
		b.stats.Verdicts[Forged]++
	}
	if c == nil {
		return
	}
	if w.verdict != Forged && b.overtaking(c) {
		b.overtake(b.flowOf(c), d, w.arrival)
	}
}

// departAfterWait lets out what has waited, the most of it as it came in.
func (b *Box) departAfterWait(g *departure) bool {
	w := g.wait
	if !g.unchanged() {
		return b.depart(g, w.from, w.to)
	}
	if !b.writePart(g.packet, g.header, g.side, w.from, w.to) {
		return false
	}
	if g.conn == nil {
		return true
	}
	common := conntrack.Read(g.packet)
	for i := w.from; i < w.to; i++ {
		b.left = common
		b.left.Set(g.packet.At(i))
		b.arrive(g, g.packet, i)
	}
	return true
}

// arrive tells the receiver of b.left, a segment of p that has left, and those who watch.
// One with a wrong checksum its kernel throws away unread.
func (b *Box) arrive(g *departure, p *wire.Packet, place int) {
	if !g.spoiled {
		b.table.Delivered(b.now, g.conn, g.dir, &b.left)
	}
	if g.wait == nil {
		b.tapEdited(g, place)
		b.editedEvent(g, &b.left)
		return
	}
	b.tapDelivered(g.wait, p, g.conn, g.dir, place)
	b.leaveEvent(g.wait, g.conn, g.dir, &b.left)
}

// leaveForged makes a packet now that it is due, and lets it out.
func (b *Box) leaveForged(w wait) {
	c, _ := b.connOf(&w)
	if c == nil {
		b.stats.Losses[LossGone]++
		return
	}
	buf := w.maker.make(b, c, w.target)
	if buf == nil {
		return
	}
	w.maker, w.buf = nil, buf
	w.side = c.Side(w.target.Peer())
	w.dir = w.target.Peer()
	b.leave(w)
}

// emitAfter lets out what faults have added to the segment in hand.
func (b *Box) emitAfter(j *Journey) {
	b.settleOwed()
	if len(b.after) == 0 {
		return
	}
	b.flush()
	for i := range b.after {
		p := &b.after[i]
		w := wait{
			buf: p.buf, maker: p.maker, target: p.to, rule: p.rule, verdict: Forged, kinds: p.kinds, fit: p.fit,
			mods: p.mods, numbered: p.numbered,
			conn: uint32(j.Conn.Index()), ordinal: j.Conn.Ordinal(), dir: p.to.Peer(), side: j.Conn.Side(p.to.Peer()),
		}
		if j.verdict == Drop {
			p.after += p.late
		}
		if p.after == 0 {
			b.leave(w)
		} else if b.full() {
			b.overflow(j, tooMuchWaits)
			if w.buf != nil {
				w.buf.Free()
			}
		} else {
			b.enqueue(w, b.now+p.after)
		}
	}
	b.after = b.after[:0]
	b.settleOwed()
}
