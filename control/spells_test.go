package control

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Each row is what is told: "KEY+TIME" begins, "KEY-TIME" ends, "=TIME" is a look. Times are any units;
// the deadline is 100, and 30 is long enough.
func TestSpells(t *testing.T) {
	for _, row := range []struct{ told, want string }{
		{"", "open, next 100"},
		{"=100", "over"},
		{"1+10", "open, next 40"},
		{"1+10 =39", "open, next 40"},
		{"1+10 =40", "met by 1 at 10"},
		{"1+10 1-39 =40", "open, next 100, longest 29"},
		{"1+10 1-40", "met by 1 at 10"},          // nobody has looked in between
		{"1+10 1-40 1+41 =80", "met by 1 at 10"}, // once is enough
		{"1+10 1-20 1+25 =54", "open, next 55, longest 10"},
		{"1+10 1-20 1+25 =55", "met by 1 at 25"},
		{"1+10 2+20 1-30 =45", "open, next 50, longest 20"},
		{"2+20 1+20 =50", "met by 1 at 20"},
		{"1+100 =129", "open, next 130"}, // it has begun in time
		{"1+100 1-110 =110", "over"},
		{"1+101 =101", "over"}, // it has not
		{"1+90 1-95 1+105 =105", "over"},
		{"1+10 1+20 =40", "met by 1 at 10"}, // it was so already
		{"1-10 =20", "open, next 100"},
		{"1+10 1-9 =20", "open, next 100"},               // clocks of two workers may cross by a step
		{"1+90 =95 1-105", "open, next 100, longest 15"}, // what happened until 100 may be told of still
		{"1+90 =95 1-105 =106", "over"},
	} {
		s := newSpells(30, 100)
		now := time.Duration(0)
		for word := range strings.FieldsSeq(row.told) {
			var key uint64
			switch {
			case word[0] == '=':
				fmt.Sscanf(word, "=%d", &now)
				s.reach(now)
			case word[1] == '+':
				fmt.Sscanf(word, "%d+%d", &key, &now)
				s.set(key, now, true)
			default:
				fmt.Sscanf(word, "%d-%d", &key, &now)
				s.set(key, now, false)
			}
		}
		got := fmt.Sprintf("open, next %d", s.next())
		switch {
		case s.met:
			got = fmt.Sprintf("met by %d at %d", s.key, s.at)
		case s.over():
			got = "over"
		case s.longest > 0:
			got += fmt.Sprintf(", longest %d", s.longest)
		}
		if got != row.want {
			t.Errorf("%q: got %s, want %s", row.told, got, row.want)
		}
	}
}
