package engine

import (
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// since is a time on the box's clock as events carry it.
func (b *Box) since(now time.Duration) time.Duration { return now - b.start }

// toldOfSegments tells whether anybody wants events about segments.
func (b *Box) toldOfSegments() bool { return b.cfg.OnEvent != nil && !b.cfg.quiet }

// watched tells whether events about a connection's segments are wanted.
func (b *Box) watched(c *conntrack.Conn) bool {
	return b.toldOfSegments() && (b.cfg.AllEvents || b.flowOf(c).selected())
}

// followed tells whether it is wanted how a connection opens, changes its states and closes.
func (b *Box) followed(c *conntrack.Conn) bool {
	return b.cfg.OnEvent != nil && (b.cfg.lives || b.cfg.AllEvents || b.flowOf(c).selected())
}

// selected tells that a rule can concern the flow's connection, or that a fault has left
// something behind there. f may be nil.
func (f *flow) selected() bool { return f != nil && (!f.idle() || len(f.moments) > 0) }

// tellRules tells that rules have come into force, and with which seed.
func (b *Box) tellRules() {
	if b.cfg.OnEvent != nil {
		b.cfg.OnEvent(&Event{Type: EventReload, Time: b.since(b.now), Seed: b.cfg.Seed})
	}
}

// event completes an event about a connection and hands it on, in the one
// place that every event is told from, so that telling allocates nothing.
func (b *Box) event(c *conntrack.Conn, told Event) {
	b.told = b.about(c, told)
	b.cfg.OnEvent(&b.told)
}

// about completes what is told of a connection.
func (b *Box) about(c *conntrack.Conn, e Event) Event {
	e.Time = b.since(b.now)
	e.Conn, e.Incarnation = b.ordinal(c), c.Incarnation()
	e.Client, e.Server = c.Client(), c.Server()
	e.Selected = e.Type == EventRule || b.flowOf(c).selected()
	e.ClientState, e.ServerState = c.State(conntrack.FromClient), c.State(conntrack.FromServer)
	return e
}

// segmentEvent tells of the segment in hand, once its fate is decided and carried out.
func (b *Box) segmentEvent(j *Journey) {
	if !b.watched(j.Conn) {
		return
	}
	b.judged(j, b.describe(EventSegment, j.Conn, j.Dir, j.Seg))
}

// judged tells of what is in hand, as described, what became of it.
func (b *Box) judged(j *Journey, e Event) {
	if j.verdict == Drop && j.reason == "" {
		j.reason = j.by.reason
	}
	e.Kinds, e.Verdict, e.Rules, e.Reason = j.Kinds, j.verdict, j.fired, j.reason
	b.event(j.Conn, e)
}

// leaveEvent tells of a segment that leaves later, or that nobody has sent.
func (b *Box) leaveEvent(w *wait, c *conntrack.Conn, d conntrack.Dir, s *conntrack.Segment) {
	if !b.watched(c) {
		return
	}
	e := b.describeArrival(c, d, s)
	e.Verdict, e.Kinds = w.verdict, w.kinds
	if w.verdict == Forged {
		e.Type = EventSegment
		e.Kinds |= conntrack.PlainKinds(s)
	}
	if w.rule != nil {
		e.Rules = w.rule.names
	}
	b.event(c, e)
}

// editedEvent tells what leaves at once of the segment in hand, where that is not as it was sent.
func (b *Box) editedEvent(g *departure, s *conntrack.Segment) {
	j := &b.journey
	if !j.edited || !b.watched(g.conn) {
		return
	}
	e := b.describeArrival(g.conn, g.dir, s)
	e.Kinds, e.Verdict, e.Rules = j.Kinds, j.verdict, j.fired
	b.event(g.conn, e)
}

// describe is the event of a segment as its sender has sent it: in its numbers, and
// in its view of its peer's.
func (b *Box) describe(t EventType, c *conntrack.Conn, d conntrack.Dir, s *conntrack.Segment) Event {
	e := Event{
		Type: t, From: d, FromSide: c.Side(d), Flags: b.flags.name(s.Flags),
		Seq: c.Relative(d, s.Seq), Len: int(s.Len), Win: int(s.Window),
	}
	if s.Flags.Has(wire.ACK) {
		e.Ack = c.RelativeSeen(d.Peer(), s.Ack)
	}
	return e
}

// describeArrival is the event of a segment as its receiver gets it.
func (b *Box) describeArrival(c *conntrack.Conn, d conntrack.Dir, s *conntrack.Segment) Event {
	e := b.describe(EventDeliver, c, d, s)
	e.Seq = c.RelativeSeen(d, s.Seq)
	if s.Flags.Has(wire.ACK) {
		e.Ack = c.Relative(d.Peer(), s.Ack)
	}
	return e
}

// flagNames keeps the words for flags, so that telling allocates nothing.
type flagNames [512]string

func (n *flagNames) name(f wire.Flags) string {
	i := int(f) & (len(n) - 1)
	if n[i] == "" {
		n[i] = f.String()
	}
	return n[i]
}

// overflow tells that the segment in hand, or what was to leave after it, cannot
// be kept.
func (b *Box) overflow(j *Journey, detail string) {
	b.stats.Losses[LossQueue]++
	if b.watched(j.Conn) {
		b.event(j.Conn, Event{Type: EventOverflow, Reason: LossQueue.String(), Detail: detail})
	}
}

// tapSent shows a segment that does not leave now where its sender sent it.
func (b *Box) tapSent(j *Journey) {
	if b.cfg.Tap != nil {
		b.scratch = j.packet.Materialize(j.place, b.scratch[:0])
		b.cfg.Tap(b.side, b.since(b.now), b.scratch, b.comment(j.Conn, j.verdict, j.fired))
	}
}

// tapBoth shows a passing segment where it was sent and where it arrives.
func (b *Box) tapBoth(j *Journey) {
	if b.cfg.Tap == nil {
		return
	}
	b.scratch = j.packet.Materialize(j.place, b.scratch[:0])
	comment := ""
	if len(j.fired) > 0 {
		comment = b.comment(j.Conn, j.verdict, j.fired)
	}
	b.cfg.Tap(b.side, b.since(b.now), b.scratch, comment)
	b.cfg.Tap(1-b.side, b.since(b.now), b.scratch, comment)
}

// tapEdited shows what leaves at once of the segment in hand where it arrives. Where it was
// sent it has been shown.
func (b *Box) tapEdited(g *departure, place int) {
	if b.cfg.Tap == nil {
		return
	}
	j := &b.journey
	b.scratch = b.part.Materialize(place, b.scratch[:0])
	comment := ""
	if len(j.fired) > 0 {
		comment = b.comment(g.conn, j.verdict, j.fired)
	}
	b.cfg.Tap(g.side, b.since(b.now), b.scratch, comment)
}

// tapDelivered shows what leaves later, or is forged, where it arrives.
func (b *Box) tapDelivered(w *wait, p *wire.Packet, c *conntrack.Conn, d conntrack.Dir, place int) {
	if b.cfg.Tap == nil {
		return
	}
	var names []string
	if w.rule != nil {
		names = w.rule.names
	}
	b.scratch = p.Materialize(place, b.scratch[:0])
	b.cfg.Tap(c.Side(d.Peer()), b.since(b.now), b.scratch, b.comment(c, w.verdict, names))
}

// tapWhole shows a packet that is no segment on a side.
func (b *Box) tapWhole(side int, data []byte, c *conntrack.Conn, v Verdict, fired []string) {
	if b.cfg.Tap == nil {
		return
	}
	comment := ""
	if len(fired) > 0 || v != Pass {
		comment = b.comment(c, v, fired)
	}
	b.cfg.Tap(side, b.since(b.now), data, comment)
}

// comment is what a capture says of a packet that the box touched.
func (b *Box) comment(c *conntrack.Conn, v Verdict, fired []string) string {
	var text strings.Builder
	text.WriteString(v.String())
	if len(fired) > 0 {
		text.WriteString(" by " + strings.Join(fired, ", "))
	}
	text.WriteString("; client " + c.State(conntrack.FromClient).String())
	text.WriteString(", server " + c.State(conntrack.FromServer).String())
	return text.String()
}
