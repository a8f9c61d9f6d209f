package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// A flow is what the box itself keeps of a connection that a rule can concern:
// its candidates with their counts, and what faults have left behind.
type flow struct {
	rules   []candidate // that look at segments
	moments []candidate // that act at moments
	tags    tags
	held    []uint32 // places of b.waits that wait for an event, oldest first
	holes   [2]hole  // by the direction that is lost
	hide    [2]*rule // swallow RSTs that this endpoint sends: it is dead to its peer
	order   [2]time.Duration
	lost    loss // the box has forgotten the connection

	translation *translation // of numbers, once something has moved them
	// overtaken calls the segments that later ones may overtake, oldest first; some may have gone.
	overtaken []ticket
	sent      [2]transmissions
	streams   [2]stream
}

// A hole loses everything in one direction.
type hole struct {
	by    *rule
	until time.Duration // 0: for ever
}

func (h *hole) open(now time.Duration) bool {
	return h.by != nil && (h.until == 0 || now < h.until)
}

// idle tells that the flow asks nothing of a segment but to pass.
func (f *flow) idle() bool { return len(f.rules) == 0 && f.atRest() }

// atRest tells that nothing which faults have left behind concerns a segment.
func (f *flow) atRest() bool {
	return len(f.held) == 0 && f.holes[0].by == nil && f.holes[1].by == nil &&
		f.hide[0] == nil && f.hide[1] == nil && f.lost.by == nil && len(f.overtaken) == 0 &&
		f.translation == nil
}

// flowOf is the flow of a connection, nil if no rule can concern it.
func (b *Box) flowOf(c *conntrack.Conn) *flow {
	if i := c.Index(); i < b.flows.Len() {
		return *b.flows.At(i)
	}
	return nil
}

// newFlow gives a connection a flow, an empty one.
func (b *Box) newFlow(c *conntrack.Conn) *flow {
	f := &flow{}
	if b.spareFlows.Len() > 0 {
		f = b.spareFlows.Pop()
	}
	b.flows.Extend(c.Index() + 1)
	*b.flows.At(c.Index()) = f
	return f
}

func (b *Box) dropFlow(c *conntrack.Conn) {
	f := b.flowOf(c)
	if f == nil {
		return
	}
	*b.flows.At(c.Index()) = nil
	for _, place := range f.held {
		b.lose(place, LossGone)
	}
	if f.translation != nil {
		f.translation.over = true
	}
	b.alarms.Clear(c.Index())
	*f = flow{rules: f.rules[:0], moments: f.moments[:0], held: f.held[:0], tags: f.tags[:0]}
	b.spareFlows.Push(f)
}

// Opened chooses the rules that can concern a new connection. It is part of
// conntrack.Observer.
func (b *Box) Opened(c, old *conntrack.Conn) {
	b.number(c)
	b.chosen = b.candidates(b.chosen[:0], c)
	var before *flow
	if old != nil {
		before = b.flowOf(old)
	}
	if len(b.chosen) > 0 || before != nil && len(before.held) > 0 {
		f := b.newFlow(c)
		b.adopt(c, f, b.chosen)
		if before != nil {
			// What is held of the incarnation before stays held, and leaves into this one,
			// which may have been opened by the other endpoint.
			f.held, before.held = append(f.held, before.held...), before.held[:0]
			for _, place := range f.held {
				w := b.waitAt(place)
				w.dir = c.DirFrom(w.side)
			}
		}
	}
	b.explainOpen(c, b.chosen)
	if b.followed(c) {
		b.event(c, Event{Type: EventOpen})
	}
}

// Changed reports a change of state.
func (b *Box) Changed(c *conntrack.Conn, d conntrack.Dir, from, to conntrack.State, why conntrack.Cause) {
	if f := b.flowOf(c); f != nil && len(f.moments) > 0 {
		b.moved(c, f, d, from, to)
	}
	if b.followed(c) {
		e := Event{Type: EventState, Endpoint: d, FromState: from, Cause: why.String()}
		if why == conntrack.Evidence {
			e.Type = EventDesync
		}
		b.event(c, e)
	}
}

// Closed reports the end of a connection.
func (b *Box) Closed(c *conntrack.Conn, why conntrack.Reason) {
	if f := b.flowOf(c); f != nil && !ended(c) {
		f.witness(c, b.now)
	}
	if b.followed(c) {
		b.event(c, Event{Type: EventClose, Reason: why.String()})
	}
}

// Removed forgets what the box kept of a connection.
func (b *Box) Removed(c *conntrack.Conn) { b.dropFlow(c) }

// choose makes the candidates of every connection anew, after the rules have
// changed. New rules count the connections in the order of their SYNs; one that
// was there before keeps the candidates that it has, with their counts.
func choose(boxes []*Box) {
	type tracked struct {
		*conntrack.Conn
		box *Box
	}
	var conns []tracked
	for _, b := range boxes {
		b.table.All(func(c *conntrack.Conn) bool {
			conns = append(conns, tracked{c, b})
			return true
		})
	}
	slices.SortFunc(conns, func(x, y tracked) int { return cmp.Compare(x.box.ordinal(x.Conn), y.box.ordinal(y.Conn)) })
	for _, c := range conns {
		c.box.chooseFor(c.Conn)
	}
	for _, b := range boxes {
		b.settleRules()
	}
}

// chooseFor makes the candidates of one connection anew.
func (b *Box) chooseFor(c *conntrack.Conn) {
	b.chosen = b.candidates(b.chosen[:0], c)
	f := b.flowOf(c)
	if f == nil && len(b.chosen) == 0 {
		return
	}
	if f == nil {
		f = b.newFlow(c)
	}
	b.chosen = append(b.chosen, f.carry()...)
	slices.SortFunc(b.chosen, func(x, y candidate) int { return cmp.Compare(x.Index, y.Index) })
	b.adopt(c, f, b.chosen)
}

// settleRules ends a change of rules: what waits in the name of a rule that goes on
// does so in the name of its place in the new set.
func (b *Box) settleRules() {
	for _, w := range b.waits.All() {
		if w.rule != nil && w.rule.kept != nil {
			w.rule = w.rule.kept
		}
	}
	for _, r := range b.rules.rules {
		r.carried = false
	}
	b.look.Looks = b.look.Looks[:0] // who opens is explained, not who was there
}

// candidates are all of the flow, in file order.
func (f *flow) candidates() []candidate {
	all := slices.Concat(f.rules, f.moments)
	slices.SortFunc(all, func(x, y candidate) int { return cmp.Compare(x.Index, y.Index) })
	return all
}

// carry is the candidates whose rules are in force still, and what the flow
// keeps in the name of such rules moves to them.
func (f *flow) carry() (kept []candidate) {
	for _, c := range f.candidates() {
		if c.rule.kept != nil {
			c.rule = c.rule.kept
			kept = append(kept, c)
		}
	}
	for d := range f.holes {
		if r := f.holes[d].by; r != nil && r.kept != nil {
			f.holes[d].by = r.kept
		}
		if r := f.hide[d]; r != nil && r.kept != nil {
			f.hide[d] = r.kept
		}
	}
	if r := f.lost.by; r != nil && r.kept != nil {
		f.lost.by = r.kept
	}
	return kept
}

// heldBy is the rule that holds back sequence space which the segment in hand repeats,
// only the rule r if it is not nil; nil if none does.
func (b *Box) heldBy(j *Journey, r *rule) *rule {
	span := seq.Range{From: j.Seg.Seq, To: j.Seg.End()}
	if span.Len() == 0 {
		return nil
	}
	for _, place := range j.flow.held {
		w := b.waitAt(place)
		if w.dir == j.Dir && w.ordinal == j.Conn.Ordinal() && (r == nil || w.rule == r) && w.span.Overlaps(span) {
			return w.rule
		}
	}
	return nil
}
