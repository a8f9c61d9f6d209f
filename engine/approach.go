package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
)

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

func (f *flow) witness(c *conntrack.Conn, now time.Duration) {
	for i := range f.moments {
		f.moments[i].witness(c, now)
	}
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
