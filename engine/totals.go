package engine

import (
	"sync"
	"sync/atomic"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/paged"
	"github.com/tcpmangle/tcpmangle/rules"
)

// Totals is what several Boxes count together, as those of an Engine's workers
// do: ordinals of connections, and of rules what is limited in all. It is
// touched when a connection opens, and when a rule with a total or a shared rate
// fires, so a passing segment meets nothing that Boxes share. Its zero value is ready.
type Totals struct {
	conns atomic.Uint64
	boxes atomic.Int32 // that share it

	mu    sync.Mutex
	set   *rules.Set // the one that rules belongs to
	rules []*ruleTotals

	// release lets the other Boxes release what from has released; nil if there
	// are none. It does not wait for them.
	release func(from *Box, f *releaseFault)
}

// ruleTotals is what all Boxes count of one rule.
type ruleTotals struct {
	conns atomic.Int64  // connections that its address keys select
	fired atomic.Uint64 // counted only of a rule with a total

	mu      sync.Mutex
	buckets [2]bucket // of a shared rate, by the sender's side
}

// shareTotals makes the Box share t, if it is not nil.
func (b *Box) shareTotals(t *Totals) {
	if t == nil {
		b.totals = new(Totals)
		return
	}
	b.totals, b.ordinals = t, new(paged.List[uint64])
}

// number gives a new connection its ordinal among those of all Boxes.
func (b *Box) number(c *conntrack.Conn) {
	if b.ordinals == nil {
		return // its own table counts right
	}
	b.ordinals.Extend(c.Index() + 1)
	*b.ordinals.At(c.Index()) = b.totals.conns.Add(1)
}

// ordinal counts the connections in the order of their SYNs, from 1.
func (b *Box) ordinal(c *conntrack.Conn) uint64 {
	if b.ordinals == nil {
		return c.Ordinal()
	}
	return *b.ordinals.At(c.Index())
}

// of gives the counts of a set's rules, by their place in it. Boxes that are given
// the same set get the same.
func (t *Totals) of(set *rules.Set) []*ruleTotals {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.set != set {
		t.set, t.rules = set, make([]*ruleTotals, len(set.Rules))
		for i := range t.rules {
			t.rules[i] = new(ruleTotals)
		}
	}
	return t.rules
}

// take counts a firing, unless there have been as many as the limit already.
func (t *ruleTotals) take(limit uint64) bool {
	for {
		n := t.fired.Load()
		if n >= limit {
			return false
		}
		if t.fired.CompareAndSwap(n, n+1) {
			return true
		}
	}
}
