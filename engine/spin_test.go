package engine

import (
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
