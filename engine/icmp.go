package engine

import (
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// aboutConnection takes an ICMP error about a TCP segment: rules for the kind
// icmp may drop, delay or hold it. It passes as it is; endpoints are not moved.
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
	if b.crowded(j) {
		b.overflow(j, tooMuchWaits)
		j.verdict, j.reason = Drop, LossQueue.String()
	}
	w := wait{
		conn: uint32(c.Index()), ordinal: c.Ordinal(), dir: j.Dir, side: b.side,
		rule: j.by, verdict: j.verdict, kinds: j.Kinds, raw: true,
	}
	switch j.verdict {
	case Pass:
		b.passWhole()
	case Delay:
		w.buf = b.copyPacket()
		b.enqueue(w, j.due)
	case Hold:
		w.buf = b.copyPacket()
		b.keepHeld(j, w)
	}
	b.stats.Verdicts[j.verdict]++
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
