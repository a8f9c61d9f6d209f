package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A rule with `at` acts at a moment of a connection, without a segment: after a
// silence, at an age, or once an endpoint has been in a state for a time. Its
// moment comes as soon as that is so while the rule is awake and within its
// times; what match says is asked then.

// A moment is what a candidate with `at` keeps of its connection.
type moment struct {
	passed time.Duration    // when it was last judged; never if it has not been
	since  [2]time.Duration // since when an endpoint is in the state; never if it is not
}

func newMoment() *moment {
	return &moment{passed: never, since: [2]time.Duration{never, never}}
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

// awake tells that the rule may act on the connection still: once, or as often as it says.
func (c *candidate) awake() bool { return c.enabled && c.fired < uint32(max(c.Count, 1)) }

// due is when the next moment comes or has come; never if something else has
// to happen first.
func (c *candidate) due(conn *conntrack.Conn) time.Duration {
	at := never
	switch {
	case !c.awake():
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
