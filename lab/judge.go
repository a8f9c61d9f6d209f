package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/rules"
)

// A check judges one expectation, from moment to moment. One goroutine uses it.
type check interface {
	// look takes the next moment and tells what is known by then. After pass or
	// fail it is not asked again. At the last moment it must be one of them.
	look(m *moment) finding
}

// A finding is what a check knows.
type finding struct {
	ruling ruling
	why    string        // of fail; of pass, what was found
	at     time.Duration // since the start: when it came true
	tuple  *tuple        // the connection that decided it, if there is one
}

type ruling uint8

const (
	open   ruling = iota // the run goes on for it
	enough               // nothing is missing, but more may spoil it: judged at the end
	pass
	fail
)

// A moment is what checks can look at.
type moment struct {
	at     time.Duration // since the client's start
	start  time.Duration // that start, on the box's clock
	sample *sample
	actors [2]*actor
	steps  []*step // that are still to come
	fired  func(rule string) uint64
	last   bool
	// rest: nobody will send a segment any more, so no rule will fire and no
	// command meet an error. States may still run out of time.
	rest  bool
	still bool // rest, and no state has a time to run out
}

// restarts tells whether a step is still to start a host's program again.
func (m *moment) restarts(side int) bool {
	return slices.ContainsFunc(m.steps, func(s *step) bool { return s.do == "restart" && s.side == side })
}

// stateSpec: connections are in states.
type stateSpec struct {
	want        pair
	connections rules.Ranges // nil: one connection, the same all the time
	within      limit
	lasts       time.Duration
}

// String is "client TIME_WAIT, server LAST_ACK within 2s for 3s".
func (s *stateSpec) String() string {
	text := s.want.String()
	if s.connections != nil {
		text = fmt.Sprintf("%s connections with %s", s.connections, text)
	}
	text += s.within.String()
	if s.lasts > 0 {
		text += fmt.Sprintf(" for %v", s.lasts)
	}
	return text
}

func (s *stateSpec) check() check {
	return &stateCheck{stateSpec: s, since: make(map[tuple]time.Duration)}
}

type stateCheck struct {
	*stateSpec
	since   map[tuple]time.Duration // it holds; of a number of connections, under the zero tuple
	longest time.Duration           // it has held at a stretch
	found   []tuple
	most    int // connections at once
}

func (c *stateCheck) look(m *moment) finding {
	c.found = c.want.find(m.sample, c.found[:0])
	c.most = max(c.most, len(c.found))
	holding := c.found
	if c.connections != nil {
		holding = nil
		if c.connections.Match(int64(len(c.found))) {
			holding = []tuple{{}}
		}
	} else if len(holding) == 0 && c.want.listens(m.sample) {
		holding = []tuple{{}}
	}
	t, ok := c.lasting(m.at, holding)
	switch {
	case ok && c.mayBeNone() && !m.last && !c.within.over(m.at):
		return finding{ruling: enough} // it was true before anything had happened
	case ok:
		f := finding{ruling: pass, at: c.since[t]}
		if (t != tuple{}) {
			f.tuple = &t
		}
		return f
	case m.last || len(c.since) == 0 && (m.still || c.within.over(m.at)):
		return finding{ruling: fail, why: c.why(m)}
	}
	return finding{}
}

// mayBeNone tells whether the number of connections that is expected allows none.
func (s *stateSpec) mayBeNone() bool { return s.connections != nil && s.connections.Match(0) }

// lasting keeps count of how long it has held, and finds where it is long enough.
func (c *stateCheck) lasting(at time.Duration, holding []tuple) (t tuple, ok bool) {
	for held := range c.since {
		if !slices.Contains(holding, held) {
			delete(c.since, held)
		}
	}
	for _, t := range holding {
		if _, ok := c.since[t]; !ok {
			if c.within.over(at) {
				continue
			}
			c.since[t] = at
		}
		held := at - c.since[t]
		c.longest = max(c.longest, held)
		if held >= c.lasts {
			return t, true
		}
	}
	return t, false
}

// why tells what there was in place of what was expected.
func (c *stateCheck) why(m *moment) string {
	at := fmt.Sprintf("at %.3fs ", m.at.Seconds())
	switch {
	case c.connections != nil:
		return fmt.Sprintf("%s%s, at most %d", at, count(len(c.found), "connection"), c.most)
	case c.longest > 0:
		return fmt.Sprintf("it held for %v at the longest; %s%s", c.longest.Round(time.Millisecond), at, m.sample)
	}
	return at + m.sample.String()
}

// String is the states of the first connections.
func (s *sample) String() string {
	if len(s.known) == 0 {
		return "there is no connection"
	}
	const most = 3
	var text strings.Builder
	for i, t := range s.known[:min(len(s.known), most)] {
		e := s.ends(t)
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(fmt.Sprintf("client %v, server %v", e[0].state, e[1].state))
	}
	if more := len(s.known) - most; more > 0 {
		text.WriteString(fmt.Sprintf("; and %d more", more))
	}
	return text.String()
}

// firedSpec: a rule fires so many times.
type firedSpec struct {
	rule   string
	fired  rules.Ranges
	within limit
}

// String is "rule lose-last-ack fired >=2".
func (s *firedSpec) String() string {
	return fmt.Sprintf("rule %s fired %s%v", s.rule, s.fired, s.within)
}

func (s *firedSpec) check() check { return s }

func (s *firedSpec) look(m *moment) finding {
	n := int64(m.fired(s.rule))
	done := finding{ruling: fail, why: "it fired " + times(n), at: m.at}
	ok := s.fired.Match(n)
	if ok {
		done.ruling = pass
	}
	switch {
	case m.last, s.within.over(m.at), !ok && (m.rest || n > s.highest()):
		return done
	case ok:
		return finding{ruling: enough}
	}
	return finding{}
}

// times is how often: once, 2 times.
func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func (s *firedSpec) highest() (n int64) {
	for _, r := range s.fired {
		n = max(n, r.Hi)
	}
	return n
}
