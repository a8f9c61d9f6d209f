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
// together, since they are neighbours, and have met one fate and the same edits.
type run struct {
	fate
	mods
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
		f := j.fate()
		if j.spans > 0 {
			j.flow.order[j.Dir] = max(f.due, j.Now) + j.spans
		}
		if f.due == 0 {
			b.pass(j, f)
			return
		}
		b.wait(j, f)
	case Hold:
		b.flush()
		b.holdBack(j)
	case Drop:
		j.dropOwn()
	}
	b.tapSent(j)
	b.segmentEvent(j)
}

// pass lets the segment in hand go now. Deciding to let a segment go and writing it
// happen in one step of the Box, so its receiver knows of it before those of its
// neighbours are judged that leave together with it.
func (b *Box) pass(j *Journey, f fate) {
	if j.own != nil || j.flow.translation != nil || j.mods != (mods{}) {
		b.passChanged(j, f)
		return
	}
	b.join(j, f)
	b.table.Delivered(b.now, j.Conn, j.Dir, j.Seg)
	b.tapBoth(j)
	b.segmentEvent(j)
}

// passChanged is pass for a segment that leaves another than it came in.
func (b *Box) passChanged(j *Journey, f fate) {
	g := departure{
		mods: j.mods, packet: j.packet, header: b.buf.Header, side: 1 - b.side,
		conn: j.Conn, dir: j.Dir, translation: j.flow.translation,
	}
	switch {
	case j.own != nil:
		b.passOwn(j, &g)
	case g.alone(j.place):
		b.flush()
		b.passEdited(j, func() { b.departAlone(&g, j.place) })
	case g.mods != mods{}:
		b.join(j, f)
		b.passEdited(j, func() { b.tellOne(&g, j.place) })
	default: // only its numbers are moved
		b.join(j, f)
		b.tapSent(j)
		b.tellOne(&g, j.place)
		b.segmentEvent(j)
	}
}

// passOwn lets the copy go that the segment in hand has become.
func (b *Box) passOwn(j *Journey, g *departure) {
	b.flush()
	own := j.takeOwn()
	defer own.Free()
	if b.own.Parse(own.Bytes(), 0, false) == wire.OK {
		g.packet, g.header = &b.own, own.Header
		b.passEdited(j, func() { b.depart(g, 0, 1) })
	}
}

// passEdited tells of the segment in hand as it was sent, and then lets it depart as
// it has become.
func (b *Box) passEdited(j *Journey, depart func()) {
	j.edited = true
	b.tapSent(j)
	b.segmentEvent(j)
	depart()
}

// tellOne tells of a segment that leaves later in this step, with its run.
func (b *Box) tellOne(g *departure, place int) {
	b.shape(g, place, place+1)
	b.tell(g)
}

// wait has the segment in hand wait until it is due.
func (b *Box) wait(j *Journey, f fate) {
	if j.own == nil {
		b.join(j, f)
		return
	}
	b.flush()
	b.enqueue(b.waitAlone(j, f), f.due)
}

// fate is when a passing or delayed segment leaves. What passes waits all the
// same for what has been delayed before it: it is delayed then, to keep order.
func (j *Journey) fate() fate {
	order := &j.flow.order[j.Dir]
	switch {
	case j.verdict == Delay:
		due := max(j.due+j.late, *order)
		if due <= j.Now { // by nothing: its neighbours in a super-packet must not overtake it
			j.verdict = Pass
			return fate{}
		}
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
	r := &b.run
	if r.from == r.to || r.to != j.place || r.fate != f || r.mods != j.mods {
		b.flush()
		r.fate, r.mods, r.from, r.conn, r.dir = f, j.mods, j.place, j.Conn, j.Dir
	}
	r.to = j.place + 1
}

// flush lets the run go that has gathered: out, or into the queue.
func (b *Box) flush() {
	if b.run.from == b.run.to {
		return
	}
	r := b.run
	b.run.to = b.run.from
	switch {
	case r.due > 0:
		b.putAside(&r)
	case r.mods != mods{} || b.translated(r.conn) != nil:
		b.departRun(&r)
	case r.from == 0 && r.to == b.packet.Segments():
		b.passWhole()
	default:
		b.writePart(&b.packet, b.buf.Header, 1-b.side, r.from, r.to)
	}
}

// departRun writes a run that is edited or translated; its receiver knows of it.
func (b *Box) departRun(r *run) {
	g := departure{
		mods: r.mods, packet: &b.packet, header: b.buf.Header, side: 1 - b.side,
		conn: r.conn, dir: r.dir, translation: b.translated(r.conn), told: true,
	}
	b.depart(&g, r.from, r.to)
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
		var p wire.Packet
		b.assemble(e, &p)
		b.stats.Losses[LossWrite] += uint64(max(p.Segments(), 1))
		return false
	}
	return true
}

// assemble makes p a view of a packet that leaves in two parts, put together.
func (b *Box) assemble(e *Emission, p *wire.Packet) wire.Reason {
	whole := append(append(b.scratch[:0], e.Head...), e.Body...)
	return p.Parse(whole, e.Header.GSO(), e.Header.Partial())
}

// writeFinished does for a device without offload what the kernel left undone.
func (b *Box) writeFinished(e *Emission) bool {
	var p wire.Packet
	if b.assemble(e, &p) != wire.OK {
		b.stats.Losses[LossWrite]++
		return false
	}
	ok := true
	one := b.pool.Get(p.HeaderLen() + p.PayloadLen())
	for i := range p.Segments() {
		one.n = len(p.Materialize(i, one.raw[:0]))
		part := Emission{Side: e.Side, Head: one.Bytes()}
		ok = b.write(&part) && ok
	}
	one.Free()
	return ok
}
