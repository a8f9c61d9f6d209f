package engine

import "github.com/tcpmangle/tcpmangle/rules"

// The two-state model of losses in bursts (E. N. Gilbert 1960, E. O. Elliott 1963)
// is a chain: each step depends on the one before. So that a chain depends on as
// little as it can, a rule has three on each connection and direction, for its
// matching segments of three sorts:
//
//   - what is new in the stream: where the network before the box keeps their order,
//     this chain runs along the stream, and is a function of it and of where the sender cuts it;
//   - what covers sequence space sent before, in the order in which it comes;
//   - bare acknowledgments, in the order in which they come.
//
// No retransmission and no further ACK moves the first, and nothing on another
// connection moves any. The dice of a step are those of its segment (see chance), and both
// states look at the same: one that says bad to a good chain says it to a bad
// one too. So whatever has set two runs of a chain apart, a segment more or one that was cut in
// another place, they meet again: at each step with a chance of P+R, if that is below 1.

// A lane is one of the sorts of segments.
type lane uint8

const (
	newData lane = iota
	oldData
	bareAck
	numLanes
)

// lanes tell which chains are in their bad state.
type lanes [numLanes]bool

func (j *Journey) lane() lane {
	switch {
	case j.Seg.End() == j.Seg.Seq:
		return bareAck
	case j.again:
		return oldData
	}
	return newData
}

// gilbertElliott goes one step through the model: first to the state that the
// segment is met by, then the dice of that state.
func (c *candidate) gilbertElliott(j *Journey, g *rules.GilbertElliott) bool {
	key := j.chanceKey(c.ordinal)
	bad := &c.bad[j.Dir][j.lane()]
	toBad := g.P
	if *bad {
		toBad = 1 - g.R
	}
	*bad = c.rule.chance(key, turnSalt) < toBad
	loss := g.LossGood
	if *bad {
		loss = g.LossBad
	}
	return c.rule.chance(key, diceSalt) < loss
}
