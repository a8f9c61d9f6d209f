package ladder

import (
	"slices"

	"github.com/tcpmangle/tcpmangle/engine"
)

// A counter is a number of engine.Stats that a script can ask for.
type counter struct {
	name string
	of   func(*engine.Stats) uint64
}

var counters = []counter{
	{"segments", func(s *engine.Stats) uint64 { return s.Segments }},
	{"untracked", func(s *engine.Stats) uint64 { return s.Untracked }},
	{"whole", func(s *engine.Stats) uint64 { return s.Whole }},
	{"swallowed", func(s *engine.Stats) uint64 { return s.Swallowed }},
	{"waiting", func(s *engine.Stats) uint64 { return uint64(s.Waiting) }},
	{"moments", func(s *engine.Stats) uint64 { return uint64(s.Moments) }},
}

// verdicts are counted under their names.
var verdicts = []engine.Verdict{engine.Pass, engine.Drop, engine.Delay, engine.Hold, engine.Forged}

// counterNames lists what "count" knows.
func counterNames() (names []string) {
	for _, c := range counters {
		names = append(names, c.name)
	}
	for _, v := range verdicts {
		names = append(names, v.String())
	}
	names = append(names, engine.LossNames()...)
	return append(names, engine.OtherNames()...)
}

func counterOf(s *engine.Stats, name string) uint64 {
	for _, c := range counters {
		if c.name == name {
			return c.of(s)
		}
	}
	for _, v := range verdicts {
		if v.String() == name {
			return s.Verdicts[v]
		}
	}
	if i := slices.Index(engine.LossNames(), name); i >= 0 {
		return s.Losses[i]
	}
	return s.Others[slices.Index(engine.OtherNames(), name)]
}
