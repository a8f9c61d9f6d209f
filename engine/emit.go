package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A run is a stretch of virtual segments of the packet in hand that leave
// together, since they are neighbours and have met one fate.
type run struct {
	from, to int // empty if equal
}

// A wait is a segment that is held or delayed.
type wait struct {
	buf     *Buf // one segment, or any packet, complete
	conn    uint32
	ordinal uint64
	dir     conntrack.Dir
	side    int // where it came in
	rule    *rule
	arrival uint64
	hold    *holdSpec // nil: delayed
	leader  uint32    // place + 1 of the held segment that it stands behind, or 0
	ticket  uint32    // tells tickets for this wait from those for an earlier one in its place
	span    seq.Range // the sequence space it occupies
	verdict Verdict   // Pass if it only has to keep its order
	maker   maker     // makes the packet when it is due, in place of buf
	target  conntrack.Dir
	raw     bool // not a segment of a connection
	fit     bool // see pending
}

// A ticket calls a wait at its due time.
type ticket struct{ place, ticket uint32 }

// pending is what a fault lets leave besides the segment itself.
type pending struct {
	buf   *Buf  // a packet, or
	maker maker // what makes it when it leaves, towards
	to    conntrack.Dir
	after time.Duration
	fit   bool // move its numbers to where its receiver waits, as it leaves
	rule  *rule
}

// A maker forges a packet at the moment it leaves, when the numbers of its
// target are known. It returns nil if there is nothing to be made.
type maker interface {
	make(b *Box, c *conntrack.Conn, to conntrack.Dir) *Buf
}

// carryOut does with the segment in hand what was decided (6).
func (b *Box) carryOut(j *Journey) {
	d := j.Dir
	switch j.verdict {
	case Pass:
		if j.late > 0 {
			j.flow.order[d] = max(j.flow.order[d], b.now+j.late)
		}
		if due := j.flow.order[d]; due > b.now {
			b.tapSent(j)
			b.flush()
			b.wait(j, due)
			break
		}
		if b.run.to != j.place {
			b.flush()
			b.run.from = j.place
		}
		b.run.to = j.place + 1
		b.table.Delivered(b.now, j.Conn, d, j.Seg)
		b.tapBoth(j)
	case Delay:
		b.tapSent(j)
		due := max(j.due+j.late, j.flow.order[d])
		if j.keep {
			j.flow.order[d] = due
		}
		b.flush()
		b.wait(j, due)
	case Hold:
		b.tapSent(j)
		b.flush()
		b.holdBack(j)
	case Drop:
		b.tapSent(j)
	}
	b.segmentEvent(j)
}

// flush writes the run of passing segments that has gathered. The endpoints
// have been told already: deciding to let a segment go and writing it happen
// in one step of the Box.
func (b *Box) flush() {
	r := b.run
	b.run = run{}
	if r.from == r.to {
		return
	}
	if r.from == 0 && r.to == b.packet.Segments() {
		b.passWhole()
		return
	}
	n, body, gso := b.packet.Slice(b.head[:], r.from, r.to)
	b.out = Emission{Side: 1 - b.side, Head: b.head[:n], Body: body}
	b.out.Header = partHeader(b.buf.Header, gso)
	b.write(&b.out)
}

// partHeader is the header of a part of a packet that came with h.
func partHeader(h tunnel.Header, gso int) tunnel.Header {
	if gso == 0 {
		h.GSOType, h.GSOSize = tunnel.GSONone, 0
	}
	return h
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

// wait puts the segment in hand aside until due. A full queue loses it.
func (b *Box) wait(j *Journey, due time.Duration) (place uint32, ok bool) {
	if b.pool.Held() > b.cfg.MaxWaitBytes {
		b.overflow(j)
		return 0, false
	}
	w := wait{
		buf: j.copySegment(), conn: uint32(j.Conn.Index()), ordinal: j.Conn.Ordinal(), dir: j.Dir,
		side: b.side, rule: j.rule, verdict: j.verdict, span: seq.Range{From: j.Seg.Seq, To: j.Seg.End()},
	}
	return b.enqueue(w, due), true
}

// never is a due time for what only an event lets go.
const never = time.Duration(-1)

func (b *Box) enqueue(w wait, due time.Duration) (place uint32) {
	if last := len(b.freeWaits) - 1; last >= 0 {
		place = b.freeWaits[last]
		b.freeWaits = b.freeWaits[:last]
	} else {
		place = uint32(len(b.waits))
		b.waits = append(b.waits, wait{})
	}
	b.arrivals++
	w.ticket, w.arrival = b.waits[place].ticket, b.arrivals
	b.waits[place] = w
	if due != never {
		b.queue.Push(due, ticket{place, w.ticket})
	}
	b.stats.Waiting++
	return place
}

// settle takes a wait out; its buffer goes to the caller.
func (b *Box) settle(place uint32) wait {
	w := b.waits[place]
	b.waits[place] = wait{ticket: w.ticket + 1}
	b.freeWaits = append(b.freeWaits, place)
	b.stats.Waiting--
	return w
}

// lose ends a wait without an emission.
func (b *Box) lose(place uint32, why Loss) {
	w := b.settle(place)
	b.stats.Losses[why]++
	if w.buf != nil {
		w.buf.Free()
	}
}

// Next is when Advance has something to do; ok is false if never.
func (b *Box) Next() (at time.Duration, ok bool) {
	at, ok = b.queue.Next()
	if timer, armed := b.table.NextTimer(); armed && (!ok || timer < at) {
		return timer, true
	}
	return at, ok
}

// NextEmission is when the next packet that waits is due; ok is false if none
// waits for a time. Unlike Next it leaves the timers of connections out.
func (b *Box) NextEmission() (at time.Duration, ok bool) { return b.queue.Next() }

// maxExpire bounds the timers of connections that run out in one step.
const maxExpire = 256

// Advance lets out what is due, and the timers of connections run out.
func (b *Box) Advance(now time.Duration) {
	b.now = now
	for {
		t, _, ok := b.queue.Pop(now)
		if !ok {
			break
		}
		if w := &b.waits[t.place]; w.ticket == t.ticket {
			b.expired(t.place)
		}
	}
	b.table.Expire(now, maxExpire)
}

// expired: the due time of a delayed segment, or the timeout of a held one.
func (b *Box) expired(place uint32) {
	if b.waits[place].hold != nil {
		b.timedOut(place)
		return
	}
	b.leave(b.settle(place))
}

// flowAt is the flow that a wait belongs to: that of its connection, or of a
// later incarnation which has taken over what was held.
func (b *Box) flowAt(w *wait) *flow {
	c, _ := b.connOf(w)
	if c == nil {
		return nil
	}
	return b.flowOf(c)
}

// connOf is the current connection on a wait's 4-tuple.
func (b *Box) connOf(w *wait) (*conntrack.Conn, conntrack.Dir) {
	if w.buf == nil {
		if c := b.table.At(int(w.conn)); c != nil && c.Ordinal() == w.ordinal {
			return c, w.dir
		}
		return nil, 0
	}
	var p wire.Packet
	if p.Parse(w.buf.Bytes(), 0, false) != wire.OK {
		return nil, 0
	}
	return b.table.FindPacket(&p)
}

// leave lets out what has waited, or was forged, and tells its receiver.
func (b *Box) leave(w wait) {
	if w.maker != nil {
		b.leaveForged(w)
		return
	}
	defer w.buf.Free()
	var p wire.Packet
	out := Emission{Side: 1 - w.side, Header: w.buf.Header, Head: w.buf.Bytes()}
	if w.raw || p.Parse(w.buf.Bytes(), 0, false) != wire.OK {
		b.write(&out)
		return
	}
	c, d := b.table.FindPacket(&p)
	if w.fit && c != nil {
		fitIntoWindow(&p, c.End(d.Peer()))
	}
	s := conntrack.Read(&p).With(p.At(0))
	if !b.write(&out) || c == nil {
		return
	}
	if w.verdict == Forged {
		b.stats.Verdicts[Forged]++
	}
	b.table.Delivered(b.now, c, d, &s)
	b.tapDelivered(&w, c, d, w.buf.Bytes())
	b.leaveEvent(&w, c, d, &s, p.Flags())
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
			buf: p.buf, maker: p.maker, target: p.to, rule: p.rule, verdict: Forged, fit: p.fit,
			conn: uint32(j.Conn.Index()), ordinal: j.Conn.Ordinal(), dir: p.to.Peer(), side: j.Conn.Side(p.to.Peer()),
		}
		if p.after == 0 {
			b.leave(w)
		} else if b.pool.Held() > b.cfg.MaxWaitBytes {
			b.overflow(j)
			if w.buf != nil {
				w.buf.Free()
			}
		} else {
			b.enqueue(w, b.now+p.after)
		}
	}
	b.after = b.after[:0]
}

// aboutConnection takes an ICMP error about a TCP segment: rules for the kind
// icmp may delay or drop it.
func (b *Box) aboutConnection() {
	b.stats.Others[wire.ICMPError]++
	e, ok := wire.ParseICMPError(b.buf.Bytes())
	if !ok {
		b.passWhole()
		return
	}
	// Its sender is a host behind this device; the segment it quotes came from the other.
	c, d := b.table.Find(e.Src, e.Dst)
	if c == nil || b.flowOf(c) == nil {
		b.passWhole()
		return
	}
	b.seg = conntrack.Segment{Seq: e.Seq}
	j := &b.journey
	*j = Journey{
		Now: b.now, Conn: c, Dir: d.Peer(), Seg: &b.seg, Kinds: conntrack.KindsOf(conntrack.KindICMP),
		box: b, flow: b.flowOf(c), packet: &b.packet, fired: j.fired[:0],
	}
	b.walk(j)
	switch j.verdict {
	case Pass:
		b.passWhole()
	case Delay, Hold:
		due := j.due
		if j.verdict == Hold {
			due = j.Now + j.hold.timeoutOr(time.Second)
		}
		b.enqueue(wait{buf: b.copyPacket(), side: b.side, rule: j.rule, verdict: j.verdict, raw: true}, due)
	}
	b.segmentEvent(j)
	b.emitAfter(j)
}

// copyPacket is the packet in hand, as it came.
func (b *Box) copyPacket() *Buf {
	copied := b.pool.Get(b.buf.n)
	copied.Set(b.buf.Bytes())
	copied.Header = b.buf.Header
	return copied
}
