package engine

import (
	"cmp"
	"slices"

	"github.com/tcpmangle/tcpmangle/rules"
)

// releaseFault lets held segments go: those that a rule holds, those of
// connections with a tag, or, with neither, those of this connection.
type releaseFault struct {
	Rule string `rule:"rule,primary" doc:"the rule that holds them, on any connection"`
	Tag  string `rule:"tag" doc:"a tag of the connections whose segments are held"`
}

var _ = register("release", "let held segments go", anytime, func() Fault { return new(releaseFault) })

// Check refuses two selections at once.
func (f *releaseFault) Check() []rules.Problem {
	if f.Rule != "" && f.Tag != "" {
		return []rules.Problem{{Key: "tag", Other: "rule"}}
	}
	return nil
}

func (f *releaseFault) Apply(j *Journey) {
	if f.Rule == "" && f.Tag == "" {
		j.box.releaseHeld(j.flow, every)
	} else {
		f.release(j.box)
		if others := j.box.totals.release; others != nil {
			others(j.box, f)
		}
	}
	j.tell("release", func() string { return f.Rule + f.Tag })
}

// release lets go what a Box holds for the rule, or of connections with the tag.
func (f *releaseFault) release(b *Box) {
	if f.Rule != "" {
		b.releaseAll(func(w *wait) bool { return w.rule.Name == f.Rule })
		return
	}
	mark := tags{b.tag(f.Tag)}
	b.releaseAll(func(w *wait) bool {
		of := b.flowAt(w)
		return of != nil && of.tags.meets(mark)
	})
}

// releaseHeld lets go the held segments of a flow that are meant, in the order
// in which they came.
func (b *Box) releaseHeld(f *flow, meant func(*wait) bool) {
	b.flush()
	for again := true; again; {
		again = false
		for _, place := range f.held {
			if w := b.waitAt(place); w.leader == 0 && meant(w) {
				b.unhold(f, place)
				again = true
				break
			}
		}
	}
}

// releaseAll is releaseHeld over all connections. It returns how many went.
func (b *Box) releaseAll(meant func(*wait) bool) (n int) {
	b.flush()
	var places []uint32
	for i, w := range b.waits.All() {
		if w.hold != nil && w.leader == 0 && meant(w) {
			places = append(places, uint32(i))
		}
	}
	slices.SortFunc(places, func(x, y uint32) int { return cmp.Compare(b.waitAt(x).arrival, b.waitAt(y).arrival) })
	for _, place := range places {
		if f := b.flowAt(b.waitAt(place)); f != nil {
			b.unhold(f, place)
			n++
		}
	}
	b.settleOwed()
	return n
}
