package lab

import (
	"fmt"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
)

// verdict completes a result: expectations, everything that fails besides, and
// whether it passes.
func (r *run) verdict(res *Result) {
	res.Pass = !r.interrupted
	for _, j := range r.judged {
		j.Open = r.interrupted && j.ruling < pass
		res.Expectations = append(res.Expectations, j.Expectation)
		res.Pass = res.Pass && j.OK
	}
	r.failures(res)
	r.unfinished(res)
	if r.file.Agree {
		r.problems = append(r.problems, likes(res.Agreement.Differences, Difference.kind)...)
	}
	if res.RingDrops > 0 {
		r.problem("the kernel lost %d packets before the box could read them", res.RingDrops)
	}
	res.Problems = r.problems
	res.Pass = res.Pass && len(res.Problems) == 0
}

// failures are what scripts and programs met unexpectedly.
func (r *run) failures(res *Result) {
	var all []failure
	for side, told := range []Side{res.Client, res.Server} {
		for _, e := range told.Errors {
			if !e.Expected && !r.expectsError(side, e.Name) {
				all = append(all, failure{what: fmt.Sprintf("the %s failed: %s", sideNames[side], e.Text)})
			}
		}
		for _, e := range told.Exits {
			if e.Status != 0 && !e.Killed && !r.expectsExit(side) {
				all = append(all, failure{fmt.Sprintf("the %s ended with status %d", sideNames[side], e.Status), e.words()})
			}
		}
	}
	r.problems = append(r.problems, likes(all, failure.kind)...)
}

// A failure is what a script or program has met, and a remark that makes no other kind of it.
type failure struct{ what, remark string }

func (f failure) String() string { return f.what + f.remark }
func (f failure) kind() string   { return f.what }

func (r *run) expectsError(side int, name string) bool {
	return anySpec(r.file.expects, func(e *errorSpec) bool { return e.side == side && e.name == name })
}

func (r *run) expectsExit(side int) bool {
	return anySpec(r.file.expects, func(e *exitSpec) bool { return e.side == side })
}

// anySpec tells whether one of the expectations of a type is as asked.
func anySpec[T spec](all []spec, is func(T) bool) bool {
	for _, s := range all {
		if several, ok := s.(sideSpecs); ok && anySpec(several, is) {
			return true
		}
		if one, ok := s.(T); ok && is(one) {
			return true
		}
	}
	return false
}

// unfinished are rules that never fired and steps that never came.
func (r *run) unfinished(res *Result) {
	if r.interrupted {
		return
	}
	for _, rule := range res.Rules {
		if r.owes(rule) {
			r.problem("rule %s never fired; %s", rule.Name, rule.WhyNot)
		}
	}
	for _, s := range r.steps {
		r.problem("step never came: %v", s)
	}
}

// owes tells whether a rule has to fire, and has not.
func (r *run) owes(rule engine.RuleReport) bool {
	return rule.Fired == 0 && rule.Enabled && !rule.Optional && !r.expectsNever(rule.Name)
}

// expectsNever: an expectation says that the rule may stay unfired.
func (r *run) expectsNever(name string) bool {
	return anySpec(r.file.expects, func(e *firedSpec) bool { return e.rule == name && e.fired.Match(0) })
}

// ms is a duration as results write it.
func ms(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2fs", d.Seconds())
}
