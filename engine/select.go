package engine

import (
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A ruleSet is a rules.Set made ready for one Box: with its hit counts, its
// faults, and an index by port.
type ruleSet struct {
	rules  []*rule
	byPort map[uint16][]*rule // rules for a few single ports, in file order
	others []*rule            // rules for ranges of ports, or for any port
}

// A rule is one rule with what a Box counts for it.
type rule struct {
	*rules.Rule
	faults  []Fault
	ends    bool  // one of them ends the walk
	holding bool  // one of them is hold
	kept    *rule // in an older set: the rule that took its place unchanged
	carried bool  // while candidates are chosen anew: it has taken such a place
	tags    tags  // one of them must be set, if any
	notTags tags
	key     uint64 // of its random decisions: seed and name
	loaded  time.Duration
	enabled bool
	names   []string // its name alone, as events carry it
	reason  string   // as the reason of a drop

	totals  *ruleTotals // with those of other Boxes
	fired   uint64
	closest nearMiss
}

// maxIndexedPorts is how many single ports a rule may name and still be found by port.
const maxIndexedPorts = 64

func (s *ruleSet) index() {
	s.byPort = make(map[uint16][]*rule)
	for _, r := range s.rules {
		ports, ok := singlePorts(r.Match.Port)
		if !ok {
			s.others = append(s.others, r)
			continue
		}
		for _, p := range ports {
			s.byPort[p] = append(s.byPort[p], r)
		}
	}
}

// singlePorts lists the ports of a match; ok is false if they are none or too many.
func singlePorts(rs rules.Ranges) (ports []uint16, ok bool) {
	for _, r := range rs {
		if r.Hi-r.Lo+int64(len(ports)) >= maxIndexedPorts {
			return nil, false
		}
		for p := r.Lo; p <= r.Hi; p++ {
			ports = append(ports, uint16(p))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports), len(ports) > 0
}

// each calls f for the rules that can concern a server's port, in file order.
func (s *ruleSet) each(port uint16, f func(*rule)) {
	here, others := s.byPort[port], s.others
	for len(here) > 0 || len(others) > 0 {
		if len(others) == 0 || len(here) > 0 && here[0].Index < others[0].Index {
			f(here[0])
			here = here[1:]
		} else {
			f(others[0])
			others = others[1:]
		}
	}
}

// A candidate is a rule that can concern a connection, with its counts there.
type candidate struct {
	*rule
	ordinal int64     // of the connection among those the rule's address keys select
	matched [2]uint32 // segments, by direction
	fired   uint32
	buckets [2]bucket // of a rate, by direction
	bad     [2]bool   // the Gilbert-Elliott model is in its bad state, by direction
}

// candidates appends to dst the rules that can concern a new connection and
// counts it for those whose address keys select it.
func (b *Box) candidates(dst []candidate, c *conntrack.Conn) []candidate {
	client, server := c.Client(), c.Server()
	b.rules.each(server.Port(), func(r *rule) {
		m := &r.Match
		switch {
		case r.carried:
			return // it has its candidates already
		case !m.Port.Match(int64(server.Port())):
			r.missed(byPort, int64(server.Port()))
			return
		case !m.Client.Match(client):
			r.missed(byClient, 0)
			return
		case !m.Server.Match(server):
			r.missed(byServer, 0)
			return
		}
		ordinal := r.totals.conns.Add(1)
		switch {
		case !m.Connection.Match(ordinal):
			r.missed(byConnection, ordinal)
		case !m.Incarnation.Match(int64(c.Incarnation())):
			r.missed(byIncarnation, int64(c.Incarnation()))
		case r.Share < 1 && r.chance(uint64(ordinal), shareSalt) >= r.Share:
			r.missed(byShare, 0)
		default:
			dst = append(dst, candidate{rule: r, ordinal: ordinal})
		}
	})
	return dst
}

// selects tells whether the candidate fires on the segment in hand, and
// remembers the first predicate that failed if it does not. Predicates stand
// in the order of design: first what the segment is, then how often.
func (c *candidate) selects(j *Journey) bool {
	p, saw := c.match(j)
	if p == nothing {
		p, saw = c.limit(j)
	}
	if p != nothing {
		c.missed(p, saw)
		return false
	}
	c.fired++
	c.rule.fired++
	return true
}

func (c *candidate) match(j *Journey) (failed predicate, saw int64) {
	m := &c.Match
	switch {
	case !c.enabled:
		return byEnabled, 0
	case !m.From.Match(j.role()):
		return byFrom, int64(j.Dir)
	case !m.Segment.Match(j.Kinds):
		return bySegment, int64(j.Kinds)
	case !m.Flags.Match(uint16(j.Seg.Flags)):
		return byFlags, int64(j.Seg.Flags)
	case !m.Length.Match(int64(j.Seg.Len)):
		return byLength, int64(j.Seg.Len)
	case m.ClientState != 0 && !m.ClientState.Has(j.Conn.State(conntrack.FromClient)):
		return byClientState, int64(j.Conn.State(conntrack.FromClient))
	case m.ServerState != 0 && !m.ServerState.Has(j.Conn.State(conntrack.FromServer)):
		return byServerState, int64(j.Conn.State(conntrack.FromServer))
	case m.Age != nil && !m.Age.Match(j.Now-j.Conn.Opened()):
		return byAge, int64(j.Now - j.Conn.Opened())
	case m.Idle != nil && !m.Idle.Match(j.Idle):
		return byIdle, int64(j.Idle)
	case m.Opened != nil && !m.Opened.Match(j.Conn.Opened()):
		return byOpened, int64(j.Conn.Opened())
	case c.tags != nil && !j.flow.tags.meets(c.tags):
		return byTag, 0
	case j.flow.tags.meets(c.notTags):
		return byNotTag, 0
	}
	return nothing, 0
}

// limit counts a match and tells whether the rule's counts let it fire. nth
// and every count matches, so chance comes after them; the total counts firings, and
// what is taken from it is used, so it comes last.
func (c *candidate) limit(j *Journey) (failed predicate, saw int64) {
	since := j.Now - c.loaded
	if since < c.After || c.For > 0 && since >= c.After+c.For {
		return byWindow, int64(since)
	}
	c.matched[j.Dir]++
	n := int64(c.matched[j.Dir])
	switch {
	case !c.Nth.Match(n):
		return byNth, n
	case c.Every > 0 && n%int64(c.Every) != 0:
		return byEvery, n
	case c.Count > 0 && c.rule.countReached(c.fired):
		return byCount, int64(c.fired)
	case !c.lucky(j):
		return byProbability, 0
	case c.Total > 0 && !c.totals.take(uint64(c.Total)):
		return byTotal, int64(c.Total)
	}
	return nothing, 0
}

func (r *rule) countReached(fired uint32) bool { return fired >= uint32(r.Count) }

// lucky throws the dice of the rule for the segment in hand.
func (c *candidate) lucky(j *Journey) bool {
	if g := c.GilbertElliott; g != nil {
		return c.gilbertElliott(j, g)
	}
	return c.Probability >= 1 || c.rule.chance(j.chanceKey(c.ordinal), diceSalt) < c.Probability
}

// gilbertElliott goes one step through the two-state model of losses in
// bursts: first perhaps to the other state, then the dice of that state.
func (c *candidate) gilbertElliott(j *Journey, g *rules.GilbertElliott) bool {
	key := j.chanceKey(c.ordinal)
	bad := &c.bad[j.Dir]
	turn := g.P
	if *bad {
		turn = g.R
	}
	if c.rule.chance(key, turnSalt) < turn {
		*bad = !*bad
	}
	loss := g.LossGood
	if *bad {
		loss = g.LossBad
	}
	return c.rule.chance(key, diceSalt) < loss
}
