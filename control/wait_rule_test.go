package control

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

// Each row is what is told and looked at: "!TIME" is an action, "?TIME" a look begins, "=TIME/COUNT" is what it
// finds. Times are any units; the deadline is 100.
func TestRuleVigil(t *testing.T) {
	for _, row := range []struct {
		fired string
		lasts time.Duration
		told  string
		want  string
	}{
		{">=1", 0, "?1 =1/0", "open, asleep"},
		{">=1", 0, "?1 =1/0 !10", "open, awake"},
		{">=1", 0, "?1 =1/0 !10 ?12 =12/1", "met at 10, asleep"},
		{">=1", 0, "?1 =1/0 !99 !101 ?102 =102/2", "met at 99, asleep"},    // in time, however late the look is
		{">=1", 0, "?1 =1/0 !101 ?102 =102/1", "over, asleep"},             // it is not
		{">=3", 0, "?1 =1/0 !10 !11", "open, asleep"},                      // two cannot be three
		{">=3", 0, "?1 =1/0 !10 !11 !12 ?13 !14 !15 =13/2", "open, awake"}, // perhaps these were the third: look again
		{">=1", 0, "?1 =1/0 ?50 =50/1", "met at 50, asleep"},               // nobody has told of it
		{">=1", 0, "?1 =1/0 ?101 =101/1", "met at 100, asleep"},            // perhaps in time
		{">=1", 0, "?1 =1/0 ?100 =100/0 ?120 =120/1", "over, asleep"},      // it is not
		{"1", 0, "?1 =1/0 !10 !11 ?12 =12/2", "met at 10, asleep"},         // it has come by 1
		{"1", 5, "?1 =1/0 !10 !11 ?30 =30/2", "open, asleep"},
		{"1", 30, "?1 =1/0 !10 ?10 =10/1 !20 !50 ?51 =51/3", "open, asleep"}, // it has held until 20
	} {
		want, err := rules.ParseRanges(row.fired)
		if err != nil {
			t.Fatal(err)
		}
		v := &ruleVigil{rule: "x", want: want, known: newSpells(row.lasts, 100), turning: math.MaxInt64, wake: make(chan struct{}, 1)}
		var at time.Duration
		for word := range strings.FieldsSeq(row.told) {
			var now time.Duration
			var seen engine.RuleReport
			switch word[0] {
			case '!':
				fmt.Sscanf(word, "!%d", &now)
				v.hear(&engine.Event{Type: engine.EventRule, Rules: []string{"x"}, Time: now})
				v.hear(&engine.Event{Type: engine.EventRule, Rules: []string{"y"}, Time: now})
				v.hear(&engine.Event{Type: engine.EventSegment, Rules: []string{"x"}, Time: now})
			case '?':
				fmt.Sscanf(word, "?%d", &now)
				at = v.since(now)
				select {
				case <-v.wake:
				default:
				}
			default:
				fmt.Sscanf(word, "=%d/%d", &now, &seen.Fired)
				v.judge(seen, at, now)
			}
		}
		got := "open"
		switch {
		case v.known.met:
			got = fmt.Sprintf("met at %d", v.known.at)
		case v.known.over():
			got = "over"
		}
		if got += ", asleep"; len(v.wake) > 0 {
			got = strings.TrimSuffix(got, "asleep") + "awake"
		}
		if got != row.want {
			t.Errorf("%s for %d, %q: got %s, want %s", row.fired, row.lasts, row.told, got, row.want)
		}
	}
}

// Rules that are read anew are looked at.
func TestRuleVigilHearsReload(t *testing.T) {
	v := &ruleVigil{turning: math.MaxInt64, known: newSpells(0, 100), wake: make(chan struct{}, 1)}
	v.hear(&engine.Event{Type: engine.EventReload, Time: 7})
	if len(v.wake) != 1 || v.since(50) != 7 || v.since(50) != 50 {
		t.Error("a reload is to be looked at, once, as of its time")
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
