package engine

import (
	"slices"
	"time"

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
	nearest approach // of a rule with `at`
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
