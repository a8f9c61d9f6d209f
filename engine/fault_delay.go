package engine

import (
	"math"
	"time"
)

// delayFault lets a segment leave later.
type delayFault struct {
	By           time.Duration `rule:"by,primary" doc:"how much later" required:"true"`
	Jitter       time.Duration `rule:"jitter" doc:"spread around it" default:"0s"`
	Distribution string        `rule:"distribution" doc:"of the jitter: uniform within it, normal with it as deviation, or a long tail in its units" enum:"uniform,normal,pareto,lognormal" default:"uniform"`
	KeepOrder    bool          `rule:"keep_order" doc:"nothing overtakes the segment in its direction" default:"true"`
}

var _ = register("delay", "the segment leaves later", terminal, func() Fault { return new(delayFault) })

func (f *delayFault) Apply(j *Journey) {
	by := f.By
	if f.Jitter > 0 {
		by += time.Duration(f.spread(j) * float64(f.Jitter))
	}
	by = max(by, 0)
	if j.decide(Delay) {
		j.due, j.keep = j.Now+by, f.KeepOrder
	}
	j.tell("delay", by.String)
}

// spread is the segment's place in the distribution, in units of the jitter.
func (f *delayFault) spread(j *Journey) float64 {
	u := j.dice(jitterSalt)
	switch f.Distribution {
	case "normal":
		return normal(u, j.dice(jitterSalt2))
	case "pareto": // shape 3: a heavy tail that still has a variance
		return math.Pow(1-u, -1.0/3) - 1
	case "lognormal":
		return math.Exp(normal(u, j.dice(jitterSalt2))) - 1
	}
	return 2*u - 1
}

// normal makes a standard normal number of two uniform ones (Box and Muller).
func normal(u, v float64) float64 {
	return math.Sqrt(-2*math.Log(1-u)) * math.Cos(2*math.Pi*v)
}
