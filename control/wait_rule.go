package control

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

// lookAgain is how soon a firing is seen that no event tells of: one whose action had nothing to do.
const lookAgain = 50 * time.Millisecond

// A ruleVigil waits until a rule has fired so often. Its count is read from the engine, as soon
// as so many actions have been told of that it can have come to another answer.
type ruleVigil struct {
	eng  *engine.Engine
	rule string
	want rules.Ranges
	wake chan struct{}

	mu      sync.Mutex
	known   spells
	dirty   bool              // there is something to look at,
	at      time.Duration     // which has happened then
	seen    engine.RuleReport // when it was looked at last
	told    int64             // actions of the rule since then: those that are told of fire as often, or less
	last    time.Duration     // of these
	turning int64             // the count at which the answer is another one
}

func newRuleVigil(eng *engine.Engine, c *client.Condition, known spells) (vigil, error) {
	want, err := readCount("fired", c.Fired)
	if err != nil {
		return nil, err
	}
	return &ruleVigil{eng: eng, rule: c.Rule, want: want, known: known, turning: math.MaxInt64, wake: make(chan struct{}, 1)}, nil
}

func (v *ruleVigil) hear(e *engine.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case e.Type == engine.EventReload: // the rule may be gone
		v.stir(e.Time)
	case e.Type == engine.EventRule && slices.Contains(e.Rules, v.rule):
		v.told, v.last = v.told+1, e.Time
		v.turn()
	}
}

// turn tells whether the answer can be another one by now.
func (v *ruleVigil) turn() {
	if int64(v.seen.Fired)+v.told >= v.turning {
		v.stir(v.last)
	}
}

// stir tells that there is something to look at, since the first time that it is called.
func (v *ruleVigil) stir(at time.Duration) {
	if !v.dirty {
		v.dirty, v.at = true, at
	}
	signal(v.wake)
}

// signal wakes who waits for a channel of one element.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// begin has nothing to do: each look is a whole one.
func (v *ruleVigil) begin() error { return nil }

func (v *ruleVigil) look(now time.Duration) error {
	at := v.since(now)
	reports := v.eng.Report()
	i := slices.IndexFunc(reports, func(r engine.RuleReport) bool { return r.Name == v.rule })
	if i < 0 {
		return noRule(v.rule)
	}
	v.judge(reports[i], at, now)
	return nil
}

// since is when that has happened which a look is to find. Actions are counted anew from here on.
func (v *ruleVigil) since(now time.Duration) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	at := v.known.found(now)
	if v.dirty {
		at = v.at
	}
	v.dirty, v.told = false, 0
	return at
}

// judge notes how often the rule has fired now. Counts go up by one: it has come by the turning, too.
func (v *ruleVigil) judge(seen engine.RuleReport, at, now time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fired := int64(seen.Fired)
	if v.turning <= fired {
		v.known.set(0, at, v.want.Match(v.turning))
	}
	v.known.set(0, at, v.want.Match(fired))
	v.known.reach(now)
	v.seen, v.turning = seen, turning(v.want, fired)
	v.turn() // what was told while the count was read may not be in it
}

func (v *ruleVigil) next(now time.Duration) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return min(v.known.next(), now+lookAgain)
}

// turning is the first number above n from which on the ranges may match otherwise.
func turning(rs rules.Ranges, n int64) int64 {
	next := int64(math.MaxInt64)
	for _, r := range rs {
		if r.Lo > n {
			next = min(next, r.Lo)
		}
		if r.Hi >= n && r.Hi < math.MaxInt64 {
			next = min(next, r.Hi+1)
		}
	}
	return next
}

func (v *ruleVigil) state(f func(*spells)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(&v.known)
}

func (v *ruleVigil) woken() <-chan struct{} { return v.wake }

func (v *ruleVigil) tell(w *client.Wait) {
	w.Seen = v.seen.Fired
	switch {
	case w.Met:
	case v.seen.Fired == 0 && !v.want.Match(0):
		w.Why = fmt.Sprintf("rule %q never fired; %s", v.rule, v.seen.WhyNot)
	case v.want.Match(int64(v.seen.Fired)):
		w.Why = fmt.Sprintf("rule %q fired %d, ", v.rule, v.seen.Fired) + tooLate + heldWords(w)
	default:
		w.Why = fmt.Sprintf("rule %q fired %d, want %v", v.rule, v.seen.Fired, v.want) + heldWords(w)
	}
}

// tooLate is said of what holds in the end, but has not begun within the time.
const tooLate = "but too late"

// heldWords say for how long it held, if it did.
func heldWords(w *client.Wait) string {
	if w.Longest == 0 {
		return ""
	}
	return fmt.Sprintf("; it held for %v at the longest", time.Duration(w.Longest).Round(time.Microsecond))
}
