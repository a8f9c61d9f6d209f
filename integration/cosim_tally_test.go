package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/engine"
)

// A tally is what was seen in one round or in many.
type tally struct {
	rounds      int
	connections int
	agreements  int // samples of an endpoint in which both were the same
	doubts      int // in which they were not; few of them stood
	excuses     map[excuse]int
	unburied    int // endpoints that ended in silence and were not CLOSED by the end
	verdicts    [len(engine.Stats{}.Verdicts)]uint64
	fired       map[string]uint64 // by action
}

func (a *tally) add(b *tally) {
	a.rounds += b.rounds
	a.connections += b.connections
	a.agreements += b.agreements
	a.doubts += b.doubts
	a.unburied += b.unburied
	for why, n := range b.excuses {
		a.excuse(why, n)
	}
	for i, n := range b.verdicts {
		a.verdicts[i] += n
	}
	for action, n := range b.fired {
		a.fire(action, n)
	}
}

func (a *tally) fire(action string, n uint64) {
	if a.fired == nil {
		a.fired = make(map[string]uint64)
	}
	a.fired[action] += n
}

func (a *tally) excuse(why excuse, n int) {
	if a.excuses == nil {
		a.excuses = make(map[excuse]int)
	}
	a.excuses[why] += n
}

func (a *tally) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d rounds, %d connections; samples: %d agree, %d do not yet\nwhat the wire cannot tell:",
		a.rounds, a.connections, a.agreements, a.doubts)
	for _, why := range slices.Sorted(maps.Keys(a.excuses)) {
		fmt.Fprintf(&text, " %s %d,", why, a.excuses[why])
	}
	fmt.Fprintf(&text, " and not CLOSED by the end %d\nsegments:", a.unburied)
	for v, n := range a.verdicts {
		fmt.Fprintf(&text, " %v %d", engine.Verdict(v), n)
	}
	text.WriteString("\nactions:")
	for _, action := range slices.Sorted(maps.Keys(a.fired)) {
		fmt.Fprintf(&text, " %s %d", action, a.fired[action])
	}
	return text.String()
}
