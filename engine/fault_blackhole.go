package engine

import (
	"fmt"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
)

// blackholeFault loses everything that one side sends from now on, beginning
// with the segment that the rule fired on.
type blackholeFault struct {
	From rules.Side    `rule:"from,primary" doc:"whose segments are lost" default:"both"`
	For  time.Duration `rule:"for" doc:"how long; by default for ever" default:"0s"`
	Heal string        `rule:"heal" doc:"what then: resume, or reset both endpoints" enum:"resume,reset" default:"resume"`
}

var _ = register("blackhole", "from now on the connection loses everything sent from a side", anytime, func() Fault { return new(blackholeFault) })

// Check refuses a heal that never comes.
func (f *blackholeFault) Check() []rules.Problem {
	if f.Heal == "reset" && f.For == 0 {
		return []rules.Problem{{Key: "heal", Err: `heal = "reset" needs "for": without it the hole never heals`}}
	}
	return nil
}

func (f *blackholeFault) Apply(j *Journey) {
	until := time.Duration(0)
	if f.For > 0 {
		until = j.Now + f.For
	}
	if h := &j.flow.holes[sides(f.From)[0]]; h.by == j.rule && h.open(j.Now) {
		return // it is dug already
	}
	for _, from := range sides(f.From) {
		j.flow.holes[from] = hole{by: j.rule, until: until}
		if from == j.Dir {
			j.decide(Drop)
		}
		if f.Heal == "reset" {
			j.leaveAfter(pending{maker: exactReset, to: from, after: f.For})
		}
	}
	if f.Heal == "reset" && f.From != rules.SideBoth {
		j.leaveAfter(pending{maker: exactReset, to: sides(f.From)[0].Peer(), after: f.For})
	}
	j.tell("blackhole", func() string { return fmt.Sprintf("from %v", f.From) })
}

// sides are the endpoints that a parameter names.
func sides(s rules.Side) []conntrack.Dir {
	switch s {
	case rules.SideClient:
		return clientOnly
	case rules.SideServer:
		return serverOnly
	}
	return bothSides
}

var (
	clientOnly = []conntrack.Dir{conntrack.FromClient}
	serverOnly = []conntrack.Dir{conntrack.FromServer}
	bothSides  = []conntrack.Dir{conntrack.FromClient, conntrack.FromServer}
)
