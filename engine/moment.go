package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A rule with `at` acts at a moment of a connection, without a segment: after a
// silence, at an age, or once an endpoint has been in a state for a time. Its
// moment comes as soon as that is so while the rule is awake and within its
// times; what match says is asked then.
//
// A Box looks at a connection when the earliest of its moments may have come. What
// puts a moment off, as a segment does that of a silence, does not move the
// alarm: the Box looks in vain, and again at the right time.

// A moment is what a candidate with `at` keeps of its connection.
type moment struct {
	passed time.Duration    // when it was last judged; never if it has not been
	since  [2]time.Duration // since when an endpoint is in the state; never if it is not
}

// An alarm has the Box look at the moments of a connection.
type alarm struct {
	conn    uint32
	ordinal uint64
}

func newMoment() *moment {
	return &moment{passed: never, since: [2]time.Duration{never, never}}
}

// adopt gives a flow its candidates, in file order: those that look at segments, and
// those that act at moments.
func (b *Box) adopt(c *conntrack.Conn, f *flow, chosen []candidate) {
	f.rules, f.moments = f.rules[:0], f.moments[:0]
	for _, one := range chosen {
		if one.moment == nil {
			f.rules = append(f.rules, one)
			continue
		}
		one.begin(c, b.now)
		f.moments = append(f.moments, one)
	}
	b.arm(c, f)
}

// begin notes the states that the endpoints are in already.
func (c *candidate) begin(conn *conntrack.Conn, now time.Duration) {
	for d := range c.moment.since {
		if c.moment.since[d] == never && c.moment.passed == never && c.inState(conntrack.Dir(d), conn.State(conntrack.Dir(d))) {
			c.enter(conntrack.Dir(d), now)
		}
	}
}

// enter: an endpoint has come into the state.
func (c *candidate) enter(d conntrack.Dir, now time.Duration) {
	c.moment.since[d] = now
	c.rule.nearest.entered = true
}

// inState tells whether the rule waits for that state of that endpoint.
func (c *candidate) inState(d conntrack.Dir, s conntrack.State) bool {
	return c.At.State.Has(s) && c.At.Of.Has(rules.SideClient<<d)
}

// due is when the next moment comes or has come; never if something else has
// to happen first.
func (c *candidate) due(conn *conntrack.Conn) time.Duration {
	at := never
	switch {
	case !c.enabled || c.fired >= uint32(max(c.Count, 1)):
		return never
	case c.At.State != 0:
		at = c.stateDue()
	case ended(conn):
		return never
	case c.At.Age > 0 && c.moment.passed == never:
		at = conn.Opened() + c.At.Age
	case c.At.Idle > 0 && conn.LastSeen()+c.At.Idle > c.moment.passed:
		at = conn.LastSeen() + c.At.Idle
	}
	if at == never {
		return never
	}
	return max(at, c.loaded+c.After)
}

// stateDue is when one of the endpoints has been in the state for long enough.
func (c *candidate) stateDue() time.Duration {
	at := never
	for _, since := range c.moment.since {
		if since != never {
			at = sooner(at, since+c.At.For)
		}
	}
	return at
}

// sooner is the earlier of two times, either of which may be never.
func sooner(a, b time.Duration) time.Duration {
	if a == never || b != never && b < a {
		return b
	}
	return a
}

var over = conntrack.StatesOf(conntrack.Closed, conntrack.TimeWait)

// ended tells that neither endpoint can do anything with the connection any more.
func ended(c *conntrack.Conn) bool {
	return over.Has(c.State(conntrack.FromClient)) && over.Has(c.State(conntrack.FromServer))
}

// arm sets the alarm of a connection to the earliest of its moments. An alarm that
// is set for an earlier time already stays.
func (b *Box) arm(c *conntrack.Conn, f *flow) {
	at := never
	for i := range f.moments {
		at = sooner(at, f.moments[i].due(c))
	}
	if at == never {
		b.disarm(f)
		return
	}
	b.wake(c, f, at)
}

// wake has the Box look at a connection at a time, or before.
func (b *Box) wake(c *conntrack.Conn, f *flow, at time.Duration) {
	if f.alarm != never && f.alarm <= at {
		return
	}
	b.disarm(f)
	f.alarm = at
	b.stats.Moments++
	b.alarms.Push(at, alarm{uint32(c.Index()), c.Ordinal()})
}

// disarm forgets the alarm that is set; its place in the queue calls nobody.
func (b *Box) disarm(f *flow) {
	if f.alarm != never {
		f.alarm = never
		b.stats.Moments--
	}
}

// ring looks at the connections whose alarms are due.
func (b *Box) ring(now time.Duration) {
	for {
		a, at, ok := b.alarms.Pop(now)
		if !ok {
			return
		}
		c := b.table.At(int(a.conn))
		if c == nil || c.Ordinal() != a.ordinal {
			continue
		}
		if f := b.flowOf(c); f != nil && f.alarm == at {
			b.disarm(f)
			b.examine(c, f)
			b.arm(c, f)
		}
	}
}

// examine lets the rules act whose moments have come, from top to bottom.
func (b *Box) examine(c *conntrack.Conn, f *flow) {
	for i := range f.moments {
		one := &f.moments[i]
		if at := one.due(c); at != never && at <= b.now {
			b.judge(c, f, one)
		}
	}
}

// judge lets a rule act on a connection, if what match says holds at this moment.
func (b *Box) judge(c *conntrack.Conn, f *flow, one *candidate) {
	j := &b.journey
	*j = Journey{Now: b.now, Conn: c, Idle: b.now - c.LastSeen(), box: b, flow: f, fired: j.fired[:0], counts: one}
	failed, saw := one.matchConn(j)
	if failed == nothing {
		failed, saw = one.limitMoment(j)
	}
	one.pass(b.now)
	b.explainMoment(one, c, failed, saw)
	if failed != nothing {
		one.missed(failed, saw)
		return
	}
	one.fired++
	one.rule.fired++
	j.apply(one)
	b.emitAfter(j)
}

// limitMoment is limit for a moment.
func (c *candidate) limitMoment(j *Journey) (failed predicate, saw int64) {
	c.matched[0]++
	since := j.Now - c.loaded
	switch {
	case c.For > 0 && since >= c.After+c.For:
		return byWindow, int64(since)
	case c.Probability < 1 && c.rule.chance(j.chanceKey(c.ordinal), diceSalt) >= c.Probability:
		return byProbability, 0
	case c.Total > 0 && !c.totals.take(uint64(c.Total)):
		return byTotal, int64(c.Total)
	}
	return nothing, 0
}

// pass puts the moment behind; for another one the endpoint has to come into the
// state again, or the connection has to fall silent again.
func (c *candidate) pass(now time.Duration) {
	m := c.moment
	m.passed = now
	for d, since := range m.since {
		if since != never && since+c.At.For <= now {
			m.since[d] = never
		}
	}
}

// stirred: an endpoint is about to be seen to send, which ends a silence.
func (b *Box) stirred(c *conntrack.Conn, f *flow) {
	for i := range f.moments {
		if one := &f.moments[i]; one.At.Idle > 0 {
			one.witness(c, b.now)
			b.wake(c, f, b.now+one.At.Idle)
		}
	}
}

// moved: the state of an endpoint has changed.
func (b *Box) moved(c *conntrack.Conn, f *flow, d conntrack.Dir, from, to conntrack.State) {
	for i := range f.moments {
		one := &f.moments[i]
		was, is := one.inState(d, from), one.inState(d, to)
		switch {
		case is && !was:
			one.enter(d, b.now)
		case was && !is:
			one.witness(c, b.now)
			one.moment.since[d] = never
		}
	}
	if ended(c) && !over.Has(from) {
		f.witness(c, b.now)
	}
	b.arm(c, f)
}

// witness notes how far the connection has got towards the moment.
func (c *candidate) witness(conn *conntrack.Conn, now time.Duration) {
	got := time.Duration(0)
	switch {
	case c.At.Age > 0:
		got = now - conn.Opened()
	case c.At.Idle > 0:
		got = now - conn.LastSeen()
	default:
		for _, since := range c.moment.since {
			if since != never {
				got = max(got, now-since)
			}
		}
	}
	c.rule.nearest.longest = max(c.rule.nearest.longest, got)
}

// armAll sets the alarms anew, after a rule has been woken or put to sleep.
func (b *Box) armAll() {
	b.table.All(func(c *conntrack.Conn) bool {
		if f := b.flowOf(c); f != nil && len(f.moments) > 0 {
			b.arm(c, f)
		}
		return true
	})
}

// witnessAll is witness for all connections, if a rule has to tell why it has not acted.
func (b *Box) witnessAll() {
	if !slices.ContainsFunc(b.rules.rules, func(r *rule) bool { return r.At != nil && r.fired == 0 }) {
		return
	}
	b.table.All(func(c *conntrack.Conn) bool {
		if f := b.flowOf(c); f != nil && !ended(c) {
			f.witness(c, b.now)
		}
		return true
	})
}

func (f *flow) witness(c *conntrack.Conn, now time.Duration) {
	for i := range f.moments {
		f.moments[i].witness(c, now)
	}
}

// approach is how close connections came to the moment of a rule.
type approach struct {
	longest time.Duration // silence, age or stay
	entered bool          // an endpoint was in the state
}

func (a *approach) add(other approach) {
	a.longest = max(a.longest, other.longest)
	a.entered = a.entered || other.entered
}

// words say why the moment has never come.
func (a approach) words(at *rules.At) string {
	longest := a.longest.Round(time.Millisecond)
	switch {
	case at.Age > 0:
		return fmt.Sprintf("the oldest connection was %v old", longest)
	case at.Idle > 0:
		return fmt.Sprintf("the longest silence was %v", longest)
	case a.entered:
		return fmt.Sprintf("the longest stay in %s was %v", at.State, longest)
	case at.Of == rules.SideBoth:
		return fmt.Sprintf("no endpoint was ever in %s", at.State)
	}
	return fmt.Sprintf("no %s was ever in %s", at.Of, at.State)
}
