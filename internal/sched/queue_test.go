package sched

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"
)

func TestOrderIsByDueTimeThenArrival(t *testing.T) {
	type event struct {
		due time.Duration
		n   int
	}
	random := rand.New(rand.NewPCG(1, 2))
	var q Queue[event]
	var want []event
	for n := range 5000 {
		e := event{time.Duration(random.IntN(300)), n}
		q.Push(e.due, e)
		want = append(want, e)
	}
	slices.SortStableFunc(want, func(a, b event) int { return int(a.due - b.due) })
	for i, w := range want {
		got, due, ok := q.Pop(1000)
		if !ok || got != w || due != w.due {
			t.Fatalf("pop %d: got %v at %v (%v), want %v", i, got, due, ok, w)
		}
	}
	if q.Len() != 0 {
		t.Fatalf("%d values left", q.Len())
	}
}

func TestNothingLeavesBeforeItIsDue(t *testing.T) {
	var q Queue[string]
	q.Push(10, "later")
	if v, _, ok := q.Pop(9); ok {
		t.Fatalf("popped %q one tick early", v)
	}
	if due, ok := q.Next(); !ok || due != 10 {
		t.Fatalf("Next = %v, %v; want 10, true", due, ok)
	}
	if v, _, ok := q.Pop(10); !ok || v != "later" {
		t.Fatalf("got %q, %v at its time", v, ok)
	}
	if _, ok := q.Next(); ok {
		t.Fatal("Next tells of a value in an empty queue")
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	var q Queue[int]
	for i := range 1000 {
		q.Push(time.Duration(i), i)
	}
	now := time.Duration(1000)
	if n := testing.AllocsPerRun(1000, func() {
		q.Push(now, 1)
		q.Pop(now)
	}); n != 0 {
		t.Fatalf("%v allocations for a push and a pop", n)
	}
}

// Growing copies nothing, whoever waits for it: hardly more is allocated on the way than
// there is in the end.
func TestGrowthCopiesNothing(t *testing.T) {
	const n = 100_000
	var q Queue[uint32]
	var a Alarms
	for _, row := range []struct {
		name string
		most uintptr // bytes
		grow func()
	}{
		{"queue", n * unsafe.Sizeof(entry[uint32]{}), func() {
			for i := range n {
				q.Push(time.Duration(i), 1)
			}
		}},
		{"alarms", n * (unsafe.Sizeof(set{}) + 4), func() {
			for i := range n {
				a.Set(i, time.Duration(i))
			}
		}},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		row.grow()
		runtime.ReadMemStats(&after)
		if got := uintptr(after.TotalAlloc - before.TotalAlloc); got > row.most*5/4 {
			t.Errorf("%s: %d bytes were allocated for %d", row.name, got, row.most)
		}
	}
}

func BenchmarkPushPop(b *testing.B) {
	for _, waiting := range []int{100, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			random := rand.New(rand.NewPCG(3, 4))
			var q Queue[uint32]
			for range waiting {
				q.Push(time.Duration(random.Int64N(1<<40)), 0)
			}
			for b.Loop() {
				_, due, _ := q.Pop(1 << 62)
				q.Push(due+time.Duration(random.Int64N(1<<40)), 0)
			}
		})
	}
}
