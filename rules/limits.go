package rules

import (
	"math"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// readLimits reads a rule's counts, chances and times.
func readLimits(t *tomldoc.Table) Limits {
	l := Limits{Probability: 1, Share: 1}
	readKeys(limitKeys, &l, t)
	if l.Nth != nil && l.Every > 0 {
		exclude(t, "every", "nth")
	}
	return l
}

func readCount(v tomldoc.Value) int {
	n, ok := v.Int()
	switch {
	case !ok:
	case n < 1:
		v.Errorf("must be at least 1")
	case n > math.MaxInt32:
		v.Errorf("must be at most %d", math.MaxInt32)
	}
	return int(n)
}

func readFor(l *Limits, v tomldoc.Value) {
	d, ok := v.Duration()
	if ok && d == 0 {
		v.Errorf("must be more than 0s; without an end, leave it out")
	}
	l.For = d
}

// readChance reads a probability or the table of a loss model.
func readChance(l *Limits, v tomldoc.Value) {
	if _, ok := v.Any().(map[string]any); !ok {
		l.Probability, l.HasProbability = v.Probability()
		return
	}
	if t, ok := v.Table(); ok {
		l.GilbertElliott = readGilbertElliott(t)
	}
}

// gilbertKeys are those of the loss model, besides its name.
var gilbertKeys = []key[GilbertElliott]{
	{KeyDoc{Name: "p", Type: "probability", Doc: "from the good state to the bad one, per segment; what is new in the stream, what is sent again and bare ACKs are a chain each"},
		func(g *GilbertElliott, v tomldoc.Value) { g.P, _ = v.Probability() }},
	{KeyDoc{Name: "r", Type: "probability", Doc: "from the bad state to the good one, per segment"},
		func(g *GilbertElliott, v tomldoc.Value) { g.R, _ = v.Probability() }},
	{KeyDoc{Name: "loss_good", Type: "probability", Default: "0", Doc: "the chance of firing in the good state"},
		func(g *GilbertElliott, v tomldoc.Value) { g.LossGood, _ = v.Probability() }},
	{KeyDoc{Name: "loss_bad", Type: "probability", Default: "1", Doc: "the chance of firing in the bad state"},
		func(g *GilbertElliott, v tomldoc.Value) { g.LossBad, _ = v.Probability() }},
}

// GilbertElliottKeys is the reference of the table that `probability` may be. Its
// further key is model = "gilbert-elliott".
func GilbertElliottKeys() []KeyDoc { return docs(gilbertKeys) }

func readGilbertElliott(t *tomldoc.Table) *GilbertElliott {
	g := &GilbertElliott{LossBad: 1}
	readKeys(gilbertKeys, g, t)
	if v, ok := t.Value("model"); ok {
		readName(v, "model", []string{"gilbert-elliott"})
	}
	for _, key := range []string{"model", "p", "r"} {
		if !t.Has(key) {
			t.Errorf("", "missing %q", key)
		}
	}
	return g
}
