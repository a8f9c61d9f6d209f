package sched

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever is set, moved and cleared, what is popped is what a plain search would find.
func TestAlarmsAgainstSearch(t *testing.T) {
	type entry struct {
		due   time.Duration
		count int
	}
	random := rand.New(rand.NewPCG(3, 4))
	var a Alarms
	want := map[int]entry{}
	earliest := func() (number int, ok bool) {
		for n, e := range want {
			if first := want[number]; !ok || e.due < first.due || e.due == first.due && e.count < first.count {
				number, ok = n, true
			}
		}
		return number, ok
	}
	for i := range 20_000 {
		number, due := random.IntN(200), time.Duration(random.IntN(1000))
		switch random.IntN(5) {
		case 0:
			a.Clear(number)
			delete(want, number)
		case 1:
			n, ok := earliest()
			ok = ok && want[n].due <= due
			if got, popped := a.Pop(due); popped != ok || ok && got != n {
				t.Fatalf("step %d: popped %d, %v, want %d, %v", i, got, popped, n, ok)
			}
			if ok {
				delete(want, n)
			}
		default:
			a.Set(number, due)
			want[number] = entry{due, i}
		}
		if at, ok := a.At(number); ok != (want[number] != entry{}) || ok && at != want[number].due {
			t.Fatalf("step %d: %d is due at %v, %v, want %v", i, number, at, ok, want[number])
		}
		n, _ := earliest()
		if at, ok := a.Next(); a.Len() != len(want) || ok != (len(want) > 0) || ok && at != want[n].due {
			t.Fatalf("step %d: %d times, the next is %v, want %d and %v", i, a.Len(), at, len(want), want[n].due)
		}
	}
}

func TestAlarmsAllocateNothingTwice(t *testing.T) {
	var a Alarms
	for i := range 1000 {
		a.Set(i, time.Duration(i))
	}
	if n := testing.AllocsPerRun(1000, func() {
		a.Set(500, 2000)
		number, _ := a.Pop(2000)
		a.Set(number, 3000)
		a.Clear(700)
		a.Set(700, 10)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
