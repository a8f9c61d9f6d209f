package engine

import (
	"runtime"
	"testing"
	"time"
)

// The budget follows what pays, within its bounds.
func TestSpinnerAdapts(t *testing.T) {
	s := spinner{most: spin}
	for range 20 {
		s.grow()
	}
	if s.budget != spin {
		t.Errorf("spins that paid lead to %v, want %v", s.budget, spin)
	}
	s.shrink()
	if s.budget != spin/2 {
		t.Errorf("one spin in vain leads to %v, want half", s.budget)
	}
	for range 20 {
		s.shrink()
		s.waited(time.Millisecond)
	}
	if s.budget != minSpin {
		t.Errorf("spins in vain and long waits lead to %v, want %v", s.budget, minSpin)
	}
	for range 20 {
		s.shrink()
		s.waited(spin / 2)
		s.waited(spin / 2)
	}
	if s.budget != spin {
		t.Errorf("waits that more patience had spared lead to %v, want %v", s.budget, spin)
	}
}

// Nobody spins unasked where the endpoints need the processors.
func TestLongestSpin(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	tests := []struct {
		busyPoll bool
		workers  int
		want     time.Duration
	}{
		{false, 1, spin},
		{false, 2, spin},
		{false, 3, 0},
		{false, 4, 0},
		{true, 1, busySpin},
		{true, 4, busySpin},
	}
	for _, tt := range tests {
		if got := longestSpin(tt.busyPoll, tt.workers); got != tt.want {
			t.Errorf("busy-poll %t, %d workers on 4 processors: %v, want %v", tt.busyPoll, tt.workers, got, tt.want)
		}
	}
}
