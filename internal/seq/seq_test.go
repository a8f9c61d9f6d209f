package seq

import (
	"math"
	"testing"
)

// Distances from a base; each table runs at several bases, so each row is tried
// on both sides of the wrap.
var bases = []Num{0, 1, 1000, 1<<31 - 1, 1 << 31, math.MaxUint32 - 10, math.MaxUint32}

func TestLess(t *testing.T) {
	tests := []struct {
		name   string
		ahead  uint32 // of the base
		less   bool   // base before base+ahead
		mirror bool   // base+ahead before base
	}{
		{"same", 0, false, false},
		{"next", 1, true, false},
		{"a window ahead", 65535, true, false},
		{"almost half the circle", 1<<31 - 1, true, false},
		{"half the circle", 1 << 31, true, true},
		{"more than half is behind", 1<<31 + 1, false, true},
		{"the one before", math.MaxUint32, false, true},
	}
	for _, tt := range tests {
		for _, base := range bases {
			n := base.Add(tt.ahead)
			if got := base.Less(n); got != tt.less {
				t.Errorf("%s: %d.Less(%d) = %v, want %v", tt.name, base, n, got, tt.less)
			}
			if got := n.Less(base); got != tt.mirror {
				t.Errorf("%s: %d.Less(%d) = %v, want %v", tt.name, n, base, got, tt.mirror)
			}
			if got, want := base.LessEq(n), tt.less || tt.ahead == 0; got != want {
				t.Errorf("%s: %d.LessEq(%d) = %v, want %v", tt.name, base, n, got, want)
			}
			if got := base.Size(n); got != tt.ahead {
				t.Errorf("%s: %d.Size(%d) = %d, want %d", tt.name, base, n, got, tt.ahead)
			}
		}
	}
}

func TestMaxMin(t *testing.T) {
	for _, base := range bases {
		later := base.Add(20)
		if got := [2]Num{Max(base, later), Max(later, base)}; got != [2]Num{later, later} {
			t.Errorf("Max of %d and %d = %d", base, later, got)
		}
		if got := [2]Num{Min(base, later), Min(later, base)}; got != [2]Num{base, base} {
			t.Errorf("Min of %d and %d = %d", base, later, got)
		}
	}
}

func TestInRange(t *testing.T) {
	tests := []struct {
		name     string
		n        uint32 // of the base
		from, to uint32
		want     bool
	}{
		{"first", 10, 10, 20, true},
		{"last", 19, 10, 20, true},
		{"end is outside", 20, 10, 20, false},
		{"before", 9, 10, 20, false},
		{"empty", 10, 10, 10, false},
		{"across more than half the circle", 1 << 31, 0, 1<<31 + 5, true},
		{"all but one", math.MaxUint32 - 1, 0, math.MaxUint32, true},
		{"the one", math.MaxUint32, 0, math.MaxUint32, false},
	}
	for _, tt := range tests {
		for _, base := range bases {
			n, from, to := base.Add(tt.n), base.Add(tt.from), base.Add(tt.to)
			if got := InRange(n, from, to); got != tt.want {
				t.Errorf("%s: InRange(%d, %d, %d) = %v, want %v", tt.name, n, from, to, got, tt.want)
			}
			r := Range{from, to}
			if got := r.Contains(n); got != tt.want {
				t.Errorf("%s: %v.Contains(%d) = %v, want %v", tt.name, r, n, got, tt.want)
			}
		}
	}
}

func TestRanges(t *testing.T) {
	type span struct{ from, to uint32 } // of the base
	tests := []struct {
		name     string
		a, b     span
		overlap  bool
		aCoversB bool
		bCoversA bool
	}{
		{"apart", span{0, 10}, span{20, 30}, false, false, false},
		{"adjacent", span{0, 10}, span{10, 20}, false, false, false},
		{"by one", span{0, 11}, span{10, 20}, true, false, false},
		{"inside", span{0, 30}, span{10, 20}, true, true, false},
		{"same", span{0, 10}, span{0, 10}, true, true, true},
		{"same start", span{0, 10}, span{0, 5}, true, true, false},
		{"same end", span{0, 10}, span{5, 10}, true, true, false},
		{"empty inside", span{0, 10}, span{5, 5}, false, true, false},
		{"empty at the end", span{0, 10}, span{10, 10}, false, true, false},
		{"both empty", span{5, 5}, span{5, 5}, false, true, true},
		{"tail first", span{10, 5}, span{0, 20}, true, false, false},
	}
	for _, tt := range tests {
		for _, base := range bases {
			a := Range{base.Add(tt.a.from), base.Add(tt.a.to)}
			b := Range{base.Add(tt.b.from), base.Add(tt.b.to)}
			if got := [2]bool{a.Overlaps(b), b.Overlaps(a)}; got != [2]bool{tt.overlap, tt.overlap} {
				t.Errorf("%s: %v and %v overlap: %v, want %v", tt.name, a, b, got, tt.overlap)
			}
			if got := a.Covers(b); got != tt.aCoversB {
				t.Errorf("%s: %v.Covers(%v) = %v, want %v", tt.name, a, b, got, tt.aCoversB)
			}
			if got := b.Covers(a); got != tt.bCoversA {
				t.Errorf("%s: %v.Covers(%v) = %v, want %v", tt.name, b, a, got, tt.bCoversA)
			}
			if got, want := a.Len(), tt.a.to-tt.a.from; got != want || RangeOf(a.From, got) != a {
				t.Errorf("%s: %v.Len() = %d, want %d", tt.name, a, got, want)
			}
		}
	}
}
