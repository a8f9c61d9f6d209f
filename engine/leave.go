package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// pending is what a fault lets leave besides the segment itself.
type pending struct {
	buf   *Buf  // a packet, or
	maker maker // what makes it when it leaves, towards
	to    conntrack.Dir
	after time.Duration
	fit   bool // move its numbers to where its receiver waits, as it leaves
	rule  *rule
	kinds conntrack.Kinds // of a copy; what is forged is known by its flags
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
		b.write(&Emission{Side: 1 - w.side, Header: h, Head: w.buf.Bytes()})
		return
	}
	if w.to == 0 {
		w.to = p.Segments()
	}
	c, d := b.table.FindPacket(p)
	if w.fit && c != nil {
		fitIntoWindow(p, c.End(d.Peer()))
	}
	if !b.writePart(p, h, 1-w.side, w.from, w.to) {
		return
	}
	if w.verdict == Forged {
		b.stats.Verdicts[Forged]++
	}
	if c == nil {
		return
	}
	common := conntrack.Read(p)
	for i := w.from; i < w.to; i++ {
		b.arrive(&w, c, d, i, common)
	}
}

// arrive tells the receiver of a segment that has left, and those who watch.
func (b *Box) arrive(w *wait, c *conntrack.Conn, d conntrack.Dir, place int, common conntrack.Segment) {
	b.left = common.With(b.leaving.At(place))
	b.table.Delivered(b.now, c, d, &b.left)
	b.tapDelivered(w, c, d, place)
	b.leaveEvent(w, c, d, &b.left)
}

// leaveForged makes a packet now that it is due, and lets it out.
func (b *Box) leaveForged(w wait) {
	c, _ := b.connOf(&w)
	if c == nil {
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
	if len(b.after) == 0 {
		return
	}
	b.flush()
	for i := range b.after {
		p := &b.after[i]
		w := wait{
			buf: p.buf, maker: p.maker, target: p.to, rule: p.rule, verdict: Forged, kinds: p.kinds, fit: p.fit,
			conn: uint32(j.Conn.Index()), ordinal: j.Conn.Ordinal(), dir: p.to.Peer(), side: j.Conn.Side(p.to.Peer()),
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
}
