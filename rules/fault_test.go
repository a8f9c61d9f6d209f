package rules_test

import (
	"time"

	"github.com/tcpmangle/tcpmangle/rules"
)

// The faults that these tests know, with a parameter of every type.
func init() {
	ends, anytime := rules.Options{Terminal: true}, rules.Options{Anytime: true}
	rules.Register("test-drop", "the segment ends here", nil, ends)
	rules.Register("test-delay", "leaves later", func() any { return new(delay) }, ends)
	rules.Register("test-hold", "kept until an event", func() any { return new(hold) }, ends)
	rules.Register("test-rewrite", "edits", func() any { return new(rewrite) })
	rules.Register("test-reset", "forge RSTs", func() any { return &reset{Note: "made"} }, anytime)
	rules.Register("test-rate", "token bucket", func() any { return new(rate) })
	rules.Register("test-tag", "mark the connection", func() any { return new(tag) }, anytime)
}

type delay struct {
	By           time.Duration `rule:"by,primary" doc:"how much later" required:"true"`
	Jitter       time.Duration `rule:"jitter" doc:"spread around it" default:"0s" max:"1m"`
	Distribution string        `rule:"distribution" doc:"of the spread" enum:"uniform,normal,pareto" default:"uniform"`
	KeepOrder    bool          `rule:"keep_order" doc:"nothing overtakes it" default:"true"`
}

type hold struct {
	Until     string         `rule:"until" doc:"the event" enum:"peer-fin,next,release" required:"true"`
	Timeout   *time.Duration `rule:"timeout" doc:"the latest release"`
	OnTimeout *string        `rule:"on_timeout" doc:"what then" enum:"release,drop"`
}

func (h *hold) Check() []rules.Problem {
	switch {
	case h.Until == "release" && h.Timeout != nil && *h.Timeout == 0:
		return []rules.Problem{{Key: "timeout", Other: "until", Err: "would release at once"}}
	case h.Timeout == nil && h.OnTimeout != nil:
		return []rules.Problem{{Key: "on_timeout", Err: `needs "timeout"`}}
	}
	return nil
}

type rewrite struct {
	Window  *uint16       `rule:"window" doc:"advertised, unscaled"`
	TTL     *int          `rule:"ttl" doc:"hop limit" min:"1" max:"255"`
	Shift   int           `rule:"shift" doc:"of the numbers" min:"-100000" max:"100000"`
	Strip   []string      `rule:"strip" doc:"options" enum:"sack,wscale,mss"`
	Set     rules.Flags   `rule:"set" doc:"flags"`
	Clear   rules.Flags   `rule:"clear" doc:"flags"`
	To      []rules.Side  `rule:"to" doc:"sides"`
	Factor  float64       `rule:"factor" doc:"a number" default:"1.5"`
	Chances []probability `rule:"chances" doc:"several"`
}

type probability = rules.Probability

func (r *rewrite) Check() (problems []rules.Problem) {
	if r.Set&r.Clear != 0 {
		problems = append(problems, rules.Problem{Key: "clear", Other: "set"})
	}
	if r.TTL == nil && r.Window == nil && r.Shift == 0 && r.Strip == nil && r.Set|r.Clear == 0 {
		problems = append(problems, rules.Problem{Err: "changes nothing"})
	}
	return problems
}

type reset struct {
	To   rules.Side `rule:"to" doc:"whom" default:"both"`
	Note string     // no parameter
}

type rate struct {
	Limit rules.Rate        `rule:"limit,primary" doc:"bits per second" required:"true"`
	Burst rules.Size        `rule:"burst" doc:"bytes at once" default:"64KiB" min:"1"`
	Lose  rules.Probability `rule:"lose" doc:"and lose some" default:"5%"`
}

type tag struct {
	Name string `rule:"name,primary" doc:"the tag" required:"true"`
}
