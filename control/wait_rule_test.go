package control

import (
	"math"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A look that comes too early forgets nothing of what was told.
func TestRuleVigilIsDue(t *testing.T) {
	v := &ruleVigil{rule: "x", known: newSpells(0, time.Hour), turning: 3, wake: make(chan struct{}, 1)}
	for i := range 3 {
		if v.due(time.Minute) {
			t.Fatalf("due after %d of 3 actions", i)
		}
		v.hear(&engine.Event{Type: engine.EventRule, Rules: []string{"x"}, Time: time.Duration(i)})
		v.hear(&engine.Event{Type: engine.EventRule, Rules: []string{"y"}})
		v.hear(&engine.Event{Type: engine.EventSegment, Rules: []string{"x"}})
	}
	if !v.due(time.Minute) || v.at != 2 || v.due(time.Minute) || !v.due(time.Hour) {
		t.Error("due once when the third was told, and when the time is over")
	}
}

func TestTurning(t *testing.T) {
	for _, row := range []struct {
		want string
		n    int64
		next int64
	}{
		{">=1", 0, 1}, {">=1", 1, math.MaxInt64}, {"2-4", 0, 2}, {"2-4", 2, 5}, {"2-4", 4, 5}, {"2-4", 5, math.MaxInt64},
		{"0", 0, 1}, {"<=3", 1, 4}, {"7", 3, 7}, {"7", 7, 8},
	} {
		ranges, err := rules.ParseRanges(row.want)
		if got := turning(ranges, row.n); got != row.next || err != nil {
			t.Errorf("%s from %d on: turns at %d, want %d; %v", row.want, row.n, got, row.next, err)
		}
	}
}
