package engine

import (
	"fmt"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// aboutConnection takes an ICMP error about a TCP segment: rules for the kind
// icmp judge it, and it leaves as it is.
func (b *Box) aboutConnection() {
	b.stats.Others[wire.ICMPError]++
	e, c, to := b.errorAbout(b.buf.Bytes())
	if c != nil && b.side != c.Side(to) {
		b.renumber(&e, c, to)
	}
	switch {
	case c == nil || b.side == c.Side(to): // or from behind the endpoint that it is for
		b.passWhole()
	case (b.flowOf(c) == nil || b.flowOf(c).idle()) && !b.watching(b.flowOf(c)):
		if b.passWhole() {
			b.table.DeliveredICMP(b.now, c, to, &e)
		}
	default:
		b.judgeICMP(&e, c, to)
	}
}

// errorAbout reads an ICMP error, and finds the connection that it is about and the
// endpoint that it is for, who has sent the segment in it; nil if there is none.
func (b *Box) errorAbout(packet []byte) (e wire.ICMP, c *conntrack.Conn, to conntrack.Dir) {
	e, ok := wire.ParseICMPError(packet)
	if !ok {
		return e, nil, 0
	}
	c, to = b.table.Find(e.Src, e.Dst)
	return e, c, to
}

// renumber has an error quote the number that the endpoint which it is for has given
// the segment; its sender knows the segment by the number that it has arrived with.
func (b *Box) renumber(e *wire.ICMP, c *conntrack.Conn, to conntrack.Dir) {
	if t := b.translated(c); t != nil && !t.maps[to].Identity() {
		e.Seq = t.maps[to].ToSender(e.Seq)
		wire.SetQuotedSeq(b.buf.Bytes(), e.Seq)
	}
}

// judgeICMP leads an error through the rules. To them its sender is the peer of
// the endpoint that it is for; it has no number of its own, and acknowledges, so to
// speak, the one that it quotes.
func (b *Box) judgeICMP(e *wire.ICMP, c *conntrack.Conn, to conntrack.Dir) {
	f := b.flowOf(c)
	if f == nil {
		f = b.newFlow(c)
	}
	b.seg = conntrack.Segment{Ack: e.Seq}
	b.seg.Seq, _ = c.End(to.Peer()).ISN()
	j := &b.journey
	*j = Journey{
		Now: b.now, Conn: c, Dir: to.Peer(), Seg: &b.seg, Kinds: conntrack.KindsOf(conntrack.KindICMP),
		Idle: b.now - c.LastSeen(), box: b, flow: f, packet: &b.packet, fired: j.fired[:0],
	}
	j.times = f.sent[j.Dir].noteICMP(e.Seq)
	b.walk(j)
	b.explain(j)
	b.carryOutICMP(j, e)
	b.stats.Verdicts[j.verdict]++
	if b.watched(c) {
		b.judged(j, b.describeICMP(EventSegment, c, to, e))
	}
	b.emitAfter(j)
}

// carryOutICMP does with the error in hand what was decided.
func (b *Box) carryOutICMP(j *Journey, e *wire.ICMP) {
	if b.crowded(j) {
		b.overflow(j, tooMuchWaits)
		j.verdict, j.reason = Drop, LossQueue.String()
	}
	if j.verdict == Pass && j.late > 0 {
		j.verdict, j.due = Delay, j.Now
	}
	w := wait{
		conn: uint32(j.Conn.Index()), ordinal: j.Conn.Ordinal(), dir: j.Dir, side: b.side,
		rule: j.by, verdict: j.verdict, kinds: j.Kinds, raw: true,
	}
	b.tapWhole(b.side, b.buf.Bytes(), j.Conn, j.verdict, j.fired)
	switch j.verdict {
	case Pass:
		if b.passWhole() {
			b.table.DeliveredICMP(b.now, j.Conn, j.Dir.Peer(), e)
			b.tapWhole(1-b.side, b.buf.Bytes(), j.Conn, Pass, j.fired)
		}
	case Delay:
		w.buf = b.copyPacket()
		b.enqueue(w, j.due+j.late)
	case Hold:
		w.buf = b.copyPacket()
		b.keepHeld(j, w)
	}
}

// leaveOther lets out what is no segment: an ICMP error that has waited, or is forged.
func (b *Box) leaveOther(w *wait) {
	data := w.buf.Bytes()
	b.out = Emission{Side: 1 - w.side, Header: w.buf.Header, Head: data}
	if !b.write(&b.out) {
		return
	}
	if w.verdict == Forged {
		b.stats.Verdicts[Forged]++
	}
	e, c, to := b.errorAbout(data)
	if c == nil {
		return
	}
	b.table.DeliveredICMP(b.now, c, to, &e)
	var names []string
	if w.rule != nil {
		names = w.rule.names
	}
	b.tapWhole(1-w.side, data, c, w.verdict, names)
	if b.watched(c) {
		told := b.describeICMP(EventDeliver, c, to, &e)
		told.Verdict, told.Rules = w.verdict, names
		if w.verdict == Forged {
			told.Type = EventSegment
		}
		b.event(c, told)
	}
}

// describeICMP is the event of an error for the endpoint to: it says of which kind it
// is, and its number is that of the segment which it quotes.
func (b *Box) describeICMP(t EventType, c *conntrack.Conn, to conntrack.Dir, e *wire.ICMP) Event {
	from := to.Peer()
	return Event{
		Type: t, From: from, FromSide: c.Side(from), Kinds: conntrack.KindsOf(conntrack.KindICMP),
		Seq: c.Relative(to, e.Seq), Detail: errorName(e),
	}
}

// errorName is "frag-needed, mtu 1280".
func errorName(e *wire.ICMP) string {
	k, ok := e.Kind()
	switch {
	case !ok:
		return fmt.Sprintf("type %d code %d", e.Type, e.Code)
	case k == wire.FragNeeded:
		return fmt.Sprintf("%v, mtu %d", k, e.MTU)
	}
	return k.String()
}

// copyPacket is the packet in hand, as it came.
func (b *Box) copyPacket() *Buf {
	copied := b.pool.Get(b.buf.n)
	copied.Set(b.buf.Bytes())
	copied.Header = b.buf.Header
	return copied
}
