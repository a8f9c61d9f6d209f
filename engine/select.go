package engine

import (
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A candidate is a rule that can concern a connection, with its counts there.
type candidate struct {
	*rule
	ordinal int64     // of the connection among those the rule's address keys select
	matched [2]uint32 // segments, by direction
	fired   uint32
	buckets [2]bucket // of a rate, by direction
	bad     [2]lanes  // of a Gilbert-Elliott model, by direction
	moment  *moment   // nil: the rule looks at segments
}

// candidates appends to dst the rules that can concern a new connection and
// counts it for those whose address keys select it.
func (b *Box) candidates(dst []candidate, c *conntrack.Conn) []candidate {
	b.look.Looks = b.look.Looks[:0]
	b.rules.each(c.Server().Port(), func(r *rule) {
		if r.carried {
			return // it has its candidates already
		}
		ordinal, failed, saw := r.concerns(c)
		if failed == nothing {
			dst = append(dst, r.candidate(ordinal))
			return
		}
		r.missed(failed, saw)
		b.looked(r, failed, saw)
	})
	return dst
}

// concerns tells which predicate of the rule a new connection fails first, and
// what it had instead. If its address keys select the connection, it counts it.
func (r *rule) concerns(c *conntrack.Conn) (ordinal int64, failed predicate, saw int64) {
	m := &r.Match
	port := int64(c.Server().Port())
	switch {
	case !m.Port.Match(port):
		return 0, byPort, port
	case !m.Client.Match(c.Client()):
		return 0, byClient, 0
	case !m.Server.Match(c.Server()):
		return 0, byServer, 0
	}
	ordinal = r.totals.conns.Add(1)
	switch {
	case !m.Connection.Match(ordinal):
		return ordinal, byConnection, ordinal
	case !m.Incarnation.Match(int64(c.Incarnation())):
		return ordinal, byIncarnation, int64(c.Incarnation())
	case r.Share < 1 && r.chance(uint64(ordinal), shareSalt) >= r.Share:
		return ordinal, byShare, 0
	}
	return ordinal, nothing, 0
}

func (r *rule) candidate(ordinal int64) candidate {
	c := candidate{rule: r, ordinal: ordinal}
	if r.At != nil {
		c.moment = newMoment()
		r.missed(byMoment, 0)
	}
	return c
}

// selects tells whether the candidate fires on the segment in hand, and
// remembers the first predicate that failed if it does not. Predicates stand
// in the order of design: first what the segment is, then how often.
func (c *candidate) selects(j *Journey) bool {
	p, saw := c.match(j)
	if p == nothing {
		p, saw = c.limit(j)
	}
	if j.box.cfg.OnLook != nil {
		j.box.looked(c.rule, p, saw)
	}
	if p != nothing {
		c.missed(p, saw)
		return false
	}
	c.fired++
	c.rule.fired++
	return true
}

// match tells which predicate of the rule the segment in hand fails first, and
// what it had instead. What is cheap is asked first, the payload last.
func (c *candidate) match(j *Journey) (failed predicate, saw int64) {
	if !c.enabled {
		return byEnabled, 0
	}
	if failed, saw = c.matchHeader(j); failed != nothing {
		return failed, saw
	}
	if failed, saw = c.matchConn(j); failed != nothing {
		return failed, saw
	}
	return c.matchPayload(j)
}

// matchHeader asks what the segment is, by its headers.
func (c *candidate) matchHeader(j *Journey) (failed predicate, saw int64) {
	m := &c.Match
	switch {
	case !m.From.Match(j.role()):
		return byFrom, int64(j.Dir)
	case !m.Segment.Match(j.Kinds):
		return bySegment, int64(j.Kinds)
	case !m.Flags.Match(uint16(j.Seg.Flags)):
		return byFlags, int64(j.Seg.Flags)
	case !m.Length.Match(int64(j.Seg.Len)):
		return byLength, int64(j.Seg.Len)
	case m.Offset != nil && !m.Offset.Match(j.offset(), int64(j.Seg.Len)):
		return byOffset, j.offset()
	}
	if m.Option != (rules.OptionSet{}) {
		if carried := j.options(); !m.Option.Match(carried) {
			return byOption, int64(carried[0])
		}
	}
	return nothing, 0
}

// matchConn asks what the connection is at this moment.
func (c *candidate) matchConn(j *Journey) (failed predicate, saw int64) {
	m := &c.Match
	switch {
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

// matchPayload asks what the segment carries.
func (c *candidate) matchPayload(j *Journey) (failed predicate, saw int64) {
	m := &c.Match
	if m.Payload == nil && m.PayloadHex == nil {
		return nothing, 0
	}
	payload := j.payload()
	switch {
	case !m.PayloadHex.Match(payload):
		return byPayloadHex, beginning(payload)
	case !m.Payload.Match(payload):
		return byPayload, beginning(payload)
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
