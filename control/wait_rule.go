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

// A ruleVigil waits until a rule has fired so often. Its count is read from the engine, but not
// before so many actions have been told of that it can have come to another answer.
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
	told    int64             // actions of the rule since then: it has fired as often, or less
	turning int64             // the count at which the answer is another one
}

func newRuleVigil(eng *engine.Engine, c *client.Condition, known spells) (vigil, error) {
	want, err := readCount("fired", c.Fired)
	if err != nil {
		return nil, err
	}
	return &ruleVigil{eng: eng, rule: c.Rule, want: want, known: known, wake: make(chan struct{}, 1)}, nil
}

func (v *ruleVigil) hear(e *engine.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case e.Type == engine.EventReload: // the rule may be gone
	case e.Type == engine.EventRule && slices.Contains(e.Rules, v.rule):
		if v.told++; int64(v.seen.Fired)+v.told < v.turning {
			return
		}
	default:
		return
	}
	v.dirty, v.at = true, e.Time
	signal(v.wake)
}

// signal wakes who waits for a channel of one element.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (v *ruleVigil) begin() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dirty, v.at = true, v.known.first(v.eng.Since())
	return nil
}

// due tells whether there is something to look at, which then begins: actions are counted anew.
func (v *ruleVigil) due(now time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.dirty && now < v.known.next() {
		return false
	}
	v.dirty, v.told = false, 0
	return true
}

func (v *ruleVigil) look(now time.Duration) error {
	if !v.due(now) {
		return nil
	}
	reports := v.eng.Report()
	i := slices.IndexFunc(reports, func(r engine.RuleReport) bool { return r.Name == v.rule })
	if i < 0 {
		return noRule(v.rule)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen = reports[i]
	fired := int64(v.seen.Fired)
	v.turning = turning(v.want, fired)
	v.known.set(0, v.at, v.want.Match(fired))
	v.known.reach(now)
	return nil
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
		w.Why = fmt.Sprintf("rule %q fired %d, but not for %v yet", v.rule, v.seen.Fired, v.known.lasts)
	default:
		w.Why = fmt.Sprintf("rule %q fired %d, want %v", v.rule, v.seen.Fired, v.want) + heldWords(w)
	}
}

// heldWords say for how long it held, if it did.
func heldWords(w *client.Wait) string {
	if w.Longest == 0 {
		return ""
	}
	return fmt.Sprintf("; it held for %v at the longest", time.Duration(w.Longest).Round(time.Microsecond))
}
