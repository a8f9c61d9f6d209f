package paged

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

// A List is what a slice is, whatever is pushed, popped and set.
func TestAgainstSlice(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	var l List[int]
	var want []int
	for step := range 100_000 {
		switch n := dice.IntN(8); {
		case n < 4 || len(want) == 0:
			l.Push(step)
			want = append(want, step)
		case n < 6:
			last := len(want) - 1
			if got := l.Pop(); got != want[last] {
				t.Fatalf("step %d: popped %d, want %d", step, got, want[last])
			}
			want = want[:last]
		case n == 6:
			i := dice.IntN(len(want))
			*l.At(i), want[i] = step, step
		default:
			n := len(want) + dice.IntN(3) - 1
			l.Extend(n)
			want = append(want, make([]int, max(n-len(want), 0))...)
		}
		if l.Len() != len(want) {
			t.Fatalf("step %d: %d elements, want %d", step, l.Len(), len(want))
		}
	}
	for i, got := range l.All() {
		if *got != want[i] {
			t.Fatalf("at %d: got %d, want %d", i, *got, want[i])
		}
	}
}

// What was popped is gone, also for the garbage collector.
func TestPopForgets(t *testing.T) {
	var l List[*int]
	l.Push(new(int))
	at := l.At(0)
	l.Pop()
	if *at != nil {
		t.Error("what was popped is still there")
	}
	l.Extend(1)
	if *l.At(0) != nil {
		t.Error("what is new is not zero")
	}
}

// Growing moves nothing, and takes hardly more memory than what there is in the end.
func TestGrowthCopiesNothing(t *testing.T) {
	const n = 1 << 18
	var l List[uint64]
	l.Push(7)
	first := l.At(0)
	if got, most := allocated(func() { l.Extend(n) }), uint64(8*n*5/4); got > most {
		t.Errorf("%d bytes were allocated on the way, want at most %d", got, most)
	}
	if l.At(0) != first || *first != 7 {
		t.Error("the first element has moved")
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	var l List[int]
	l.Extend(1000)
	if n := testing.AllocsPerRun(100, func() {
		for range 600 {
			l.Pop()
		}
		l.Extend(1000)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
