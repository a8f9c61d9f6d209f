package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A fate is when a segment leaves, and on whose word.
type fate struct {
	due   time.Duration   // 0: now
	rule  *rule           // nil if it passes, or only has to keep its order
	kinds conntrack.Kinds // of what leaves later, which tells of them then
}

// A run is a stretch of virtual segments of the packet in hand that leave
// together, since they are neighbours and have met one fate.
type run struct {
	fate
	from, to int // empty if equal
	conn     *conntrack.Conn
	dir      conntrack.Dir
}

// carryOut does with the segment in hand what was decided (6).
func (b *Box) carryOut(j *Journey) {
	if b.crowded(j) {
		b.overflow(j, tooMuchWaits)
		j.verdict, j.reason = Drop, LossQueue.String()
	}
	switch j.verdict {
	case Pass, Delay:
		b.join(j, j.fate())
	case Hold:
		b.flush()
		b.holdBack(j)
		b.tapSent(j)
	case Drop:
		b.tapSent(j)
	}
	b.segmentEvent(j)
}

// fate is when a passing or delayed segment leaves. What passes waits all the
// same for what has been delayed before it: it is delayed then, to keep order.
func (j *Journey) fate() fate {
	order := &j.flow.order[j.Dir]
	switch {
	case j.verdict == Delay:
		due := max(j.due+j.late, *order)
		if j.keep {
			*order = due
		}
		return fate{due, j.by, j.Kinds}
	case j.late > 0:
		*order = max(*order, j.Now+j.late)
		j.verdict = Delay
		return fate{*order, j.by, j.Kinds}
	case *order > j.Now:
		j.verdict, j.reason = Delay, "order"
		return fate{due: *order, kinds: j.Kinds}
	}
	return fate{}
}

// join adds the segment in hand to the run before it, or begins one.
func (b *Box) join(j *Journey, f fate) {
	if b.run.from == b.run.to || b.run.to != j.place || b.run.fate != f {
		b.flush()
		b.run = run{fate: f, from: j.place, conn: j.Conn, dir: j.Dir}
	}
	b.run.to = j.place + 1
	if f.due > 0 {
		b.tapSent(j)
		return
	}
	// Deciding to let a segment go and writing it happen in one step of the Box.
	b.table.Delivered(b.now, j.Conn, j.Dir, j.Seg)
	b.tapBoth(j)
}

// flush lets the run go that has gathered: out, or into the queue.
func (b *Box) flush() {
	r := b.run
	b.run = run{}
	switch {
	case r.from == r.to:
	case r.due > 0:
		b.putAside(&r)
	case r.from == 0 && r.to == b.packet.Segments():
		b.passWhole()
	default:
		b.writePart(&b.packet, b.buf.Header, 1-b.side, r.from, r.to)
	}
}

// writePart writes the virtual segments [from, to) of a packet that came with
// the header h. The payload is neither copied nor touched.
func (b *Box) writePart(p *wire.Packet, h tunnel.Header, side, from, to int) bool {
	n, body, gso := p.Slice(b.head[:], from, to)
	b.out = Emission{Side: side, Header: partHeader(h, gso), Head: b.head[:n], Body: body}
	return b.write(&b.out)
}

// partHeader is the header of a part of a packet that came with h.
func partHeader(h tunnel.Header, gso int) tunnel.Header {
	if gso == 0 {
		h.GSOType, h.GSOSize = tunnel.GSONone, 0
	}
	return h
}

// spanOf is the sequence space of the virtual segments [from, to) of a packet.
func spanOf(p *wire.Packet, from, to int) seq.Range {
	return seq.Range{From: p.At(from).Seq, To: p.At(to - 1).End()}
}

// write gives a packet to the output and counts it if it is refused.
func (b *Box) write(e *Emission) bool {
	if e.Header.NeedsOffload() && !b.cfg.Offload[e.Side] {
		return b.writeFinished(e)
	}
	if err := b.cfg.Output.Write(e); err != nil {
		b.stats.Losses[LossWrite]++
		return false
	}
	return true
}

// writeFinished does for a device without offload what the kernel left undone.
func (b *Box) writeFinished(e *Emission) bool {
	whole := append(append(b.scratch[:0], e.Head...), e.Body...)
	var p wire.Packet
	if p.Parse(whole, e.Header.GSO(), e.Header.Partial()) != wire.OK {
		b.stats.Losses[LossWrite]++
		return false
	}
	ok := true
	one := b.pool.Get(len(whole))
	for i := range p.Segments() {
		one.n = len(p.Materialize(i, one.raw[:0]))
		part := Emission{Side: e.Side, Head: one.Bytes()}
		ok = b.write(&part) && ok
	}
	one.Free()
	return ok
}
