package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
)

// ByHand is the name that events and reasons give in place of a rule's where an
// action was done by a call and not by a rule.
const ByHand = "by-hand"

// Act does an action on the connections that keep selects, as a rule would that fires on them
// now, without a segment in hand; only actions that are registered as anytime
// can do so. What it leaves behind, as a black hole, lasts until the faults are
// healed. Keep is called as that of Conns is. n is how many connections there were.
func (e *Engine) Act(keep func(*ConnView) bool, a rules.Action) (n int, err error) {
	err = e.eachConn(func(b *Box, c *conntrack.Conn, now time.Duration) {
		if v := b.connView(c, now); keep(&v) {
			b.act(now, c, a)
			n++
		}
	})
	return n, err
}

func (b *Box) act(now time.Duration, c *conntrack.Conn, a rules.Action) {
	b.now = now
	f := b.flowOf(c)
	if f == nil {
		f = b.newFlow(c)
	}
	j := &b.journey
	*j = Journey{Now: now, Conn: c, rule: b.hand(), box: b, flow: f, fired: j.fired[:0]}
	j.counts = &candidate{rule: j.rule}
	faultOf(a).Apply(j)
	b.emitAfter(j)
}

// hand is the rule in whose name actions are done by hand.
func (b *Box) hand() *rule {
	if b.byHand == nil {
		b.byHand = b.compileRule(&rules.Rule{Name: ByHand, Enabled: true})
	}
	return b.byHand
}

// settleGone ends what rules have left behind that are in force no longer: their black
// holes are filled, what they made the box forget is known again, what they hold goes, and
// what they were to forge later is not.
func (b *Box) settleGone() {
	inForce := map[*rule]bool{nil: true, b.byHand: true}
	for _, r := range b.rules.rules {
		inForce[r] = true
	}
	for _, at := range b.flows.All() {
		f := *at
		if f == nil {
			continue
		}
		for d := range f.holes {
			if !inForce[f.holes[d].by] {
				f.holes[d] = hole{}
			}
			if !inForce[f.hide[d]] {
				f.hide[d] = nil
			}
		}
		if !inForce[f.lost.by] {
			f.lost = loss{}
		}
	}
	over := func(w *wait) bool { return !inForce[w.rule] }
	b.releaseAll(over)
	b.forgeNone(over)
}

// forgeNone gives up what was to be forged later and is meant.
func (b *Box) forgeNone(meant func(*wait) bool) {
	for i, w := range b.waits.All() {
		if w.verdict == Forged && meant(w) {
			b.lose(uint32(i), LossHealed)
		}
	}
}

// every means all that waits.
func every(*wait) bool { return true }

// ReleaseAll lets go everything that is held.
func (b *Box) ReleaseAll(now time.Duration) {
	b.now = now
	b.releaseAll(every)
}
