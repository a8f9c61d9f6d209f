package engine

import (
	"testing"
	"time"
)

func TestLateness(t *testing.T) {
	var l Lateness
	if got := l.Quantile(0.99); got != 0 {
		t.Errorf("nothing was counted, and the quantile is %v", got)
	}
	for _, tt := range []struct {
		late  time.Duration
		place int
	}{
		{-1, 0}, {0, 0}, {999, 0},
		{time.Microsecond, 1}, {1999, 1},
		{2 * time.Microsecond, 2}, {3 * time.Microsecond, 2},
		{time.Millisecond, 10},
		{time.Second, 20},
		{2 * time.Second, 21}, {time.Hour, 21},
	} {
		l = Lateness{}
		l.note(tt.late)
		if l[tt.place] != 1 {
			t.Errorf("%v is counted in %v, want place %d", tt.late, l, tt.place)
		}
		if b := LatenessBound(tt.place); tt.place < len(l)-1 && tt.late >= b {
			t.Errorf("%v is not below its bound %v", tt.late, b)
		}
	}
}

func TestLatenessQuantile(t *testing.T) {
	var l Lateness
	for range 990 {
		l.note(30 * time.Microsecond)
	}
	for range 10 {
		l.note(3 * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{
		0: 32 * time.Microsecond, 0.5: 32 * time.Microsecond, 0.99: 32 * time.Microsecond,
		0.991: 4096 * time.Microsecond, 1: 4096 * time.Microsecond,
	} {
		if got := l.Quantile(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if l.Count() != 1000 {
		t.Errorf("Count() = %d", l.Count())
	}
}
