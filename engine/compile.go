package engine

import (
	"reflect"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/rules"
)

// compile makes a set ready for this Box.
func (b *Box) compile(set *rules.Set) *ruleSet {
	s := &ruleSet{}
	totals := b.totals.of(set)
	for i, r := range set.Rules {
		c := b.compileRule(r)
		c.totals = totals[i]
		s.rules = append(s.rules, c)
	}
	s.index()
	return s
}

func (b *Box) compileRule(r *rules.Rule) *rule {
	c := &rule{
		Rule:    r,
		key:     ruleKey(b.cfg.Seed, r.Name),
		loaded:  b.now,
		enabled: r.Enabled,
		names:   []string{r.Name},
		reason:  "rule:" + r.Name,
		tags:    b.tagsOf(r.Match.Tags),
		notTags: b.tagsOf(r.Match.NotTags),
	}
	for _, a := range r.Actions {
		f := faultOf(a)
		c.faults = append(c.faults, f)
		c.ends = c.ends || rules.Terminal(a.Name)
		_, holds := f.(*holdFault)
		c.holding = c.holding || holds
	}
	return c
}

// faultOf is the fault of an action.
func faultOf(a rules.Action) Fault {
	if f, ok := a.Params.(Fault); ok {
		return f
	}
	return plain[a.Name]
}

// SetRules puts other rules in force, in one step. Connections keep their
// states. A rule that is the same in both sets keeps its counts and its clock.
func (b *Box) SetRules(now time.Duration, set *rules.Set) { setRules(now, set, []*Box{b}) }

// setRules is SetRules for all Boxes that share their totals.
func setRules(now time.Duration, set *rules.Set, boxes []*Box) {
	if set == nil {
		set = &rules.Set{}
	}
	for _, b := range boxes {
		b.now = now
		b.replaceRules(set)
	}
	choose(boxes)
	for _, b := range boxes {
		b.settleGone()
	}
	boxes[0].tellRules()
}

// replaceRules puts a set in the place of the one in force. What is the same in
// both goes on counting.
func (b *Box) replaceRules(set *rules.Set) {
	old := b.rules
	b.rules = b.compile(set)
	for _, r := range b.rules.rules {
		i := slices.IndexFunc(old.rules, func(o *rule) bool { return sameRule(o.Rule, r.Rule) })
		if i < 0 {
			continue
		}
		o := old.rules[i]
		o.kept = r
		r.totals, r.fired = o.totals, o.fired
		r.closest, r.nearest, r.loaded, r.enabled = o.closest, o.nearest, o.loaded, o.enabled
		r.carried = true
	}
}

// sameRule tells whether two rules say the same, wherever they stand.
func sameRule(x, y *rules.Rule) bool {
	a, b := *x, *y
	a.Index, a.File, a.Line = b.Index, b.File, b.Line
	a.Actions, b.Actions = slices.Clone(a.Actions), slices.Clone(b.Actions)
	for _, actions := range [][]rules.Action{a.Actions, b.Actions} {
		for i := range actions {
			actions[i].Line, actions[i].Col = 0, 0
		}
	}
	return reflect.DeepEqual(&a, &b)
}

// A RuleReport is what became of one rule.
type RuleReport struct {
	Name     string
	Fired    uint64
	Optional bool
	Enabled  bool
	// WhyNot explains in words, for a rule that has never fired, which
	// predicate came closest to holding.
	WhyNot string
}

// Report tells of each rule how often it has fired, in file order.
func (b *Box) Report() []RuleReport { return report([]*Box{b}) }

// report adds up what Boxes with the same rules have to tell of them.
func report(boxes []*Box) []RuleReport {
	for _, b := range boxes {
		b.witnessAll()
	}
	var reports []RuleReport
	for i, r := range boxes[0].rules.rules {
		rep := RuleReport{Name: r.Name, Optional: r.Optional, Enabled: r.enabled}
		var closest nearMiss
		var nearest approach
		for _, b := range boxes {
			there := b.rules.rules[i]
			rep.Fired += there.fired
			closest.add(there.closest)
			nearest.add(there.nearest)
		}
		if rep.Fired == 0 {
			rep.WhyNot = r.whyNot(closest, nearest)
		}
		reports = append(reports, rep)
	}
	return reports
}

func (b *Box) rule(name string) *rule {
	for _, r := range b.rules.rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Enable wakes a rule, or puts it to sleep; ok is false if there is no such rule.
func (b *Box) Enable(name string, on bool) (ok bool) {
	r := b.rule(name)
	if r == nil {
		return false
	}
	r.enabled = on
	if r.At != nil {
		b.armAll()
	}
	return true
}

// Release lets go what the rule holds.
func (b *Box) Release(now time.Duration, name string) (ok bool) {
	b.now = now
	n := b.releaseAll(func(w *wait) bool { return w.rule.Name == name })
	return n > 0 || b.rule(name) != nil
}

// Heal ends all faults: rules sleep, black holes are filled, what is held goes,
// and what was to be forged later is not.
func (b *Box) Heal(now time.Duration) {
	b.now = now
	for _, r := range b.rules.rules {
		r.enabled = false
	}
	b.armAll()
	for _, f := range b.flows.All() {
		if f := *f; f != nil {
			f.holes, f.hide, f.lost = [2]hole{}, [2]*rule{}, loss{}
			b.endReordering(f)
		}
	}
	b.releaseAll(every)
	b.forgeNone(every)
}

// Mute loses everything that comes in at a device, as if the host behind it
// had lost its power, until it is unmuted.
func (b *Box) Mute(side int, on bool) { b.muted[side] = on }

// Stats counts what the Box has done so far.
func (b *Box) Stats() Stats {
	s := b.stats
	s.WaitBytes = b.pool.Held()
	s.Moments = b.alarms.Len()
	return s
}

// Shutdown gives up what is held or delayed: it is counted, and leaves no more.
func (b *Box) Shutdown() {
	for i, w := range b.waits.All() {
		if w.buf != nil || w.maker != nil {
			b.lose(uint32(i), LossShutdown)
		}
	}
}
