package engine

import (
	"runtime"
	"time"
)

// A spinner adapts for how long a worker looks again at its queues before it
// waits: longer while that catches packets, or would have with a little more
// patience, and hardly at all on a quiet connection. So the processor time that it
// takes is bounded by the traffic: each packet pays for one spin at most.
type spinner struct {
	budget time.Duration
	most   time.Duration // 0: one look, and no more
}

// The bounds of a spin. A packet that finds the worker asleep costs a wake-up,
// which takes its sender some 5 µs and the worker 20 µs and more where a processor has
// to leave its idle state; an answer on one machine takes 20 to 40 µs (measured
// November 2026).
const (
	minSpin  = time.Microsecond
	spin     = 30 * time.Microsecond  // as a rule
	busySpin = 100 * time.Microsecond // with busy-poll
	maxLooks = 200                    // of a microsecond each, but where the clock is a test's and stands
)

// longestSpin is the bound for each of so many workers. Where the endpoints' own
// processors would be taken from them, nobody spins unasked.
func longestSpin(busyPoll bool, workers int) time.Duration {
	switch {
	case busyPoll:
		return busySpin
	case runtime.GOMAXPROCS(0) >= workers+2:
		return spin
	}
	return 0
}

func (s *spinner) grow()   { s.budget = min(max(2*s.budget, minSpin), s.most) }
func (s *spinner) shrink() { s.budget = min(max(s.budget/2, minSpin), s.most) }

// waited hears how long the wait after a spin in vain has taken. Wake-ups are in that,
// the worker's own and often an endpoint's, that would not have been needed.
func (s *spinner) waited(d time.Duration) {
	if d < 4*s.most {
		s.grow()
	}
}

// spin looks for packets again and again, until some have come, which it tells,
// or the budget is spent. A due time, mail and the end cut it short. Where a packet has to
// leave soon it goes on until then: that is exact to the microsecond, and a wake-up is not.
func (w *worker) spin() (came bool, err error) {
	start := w.now()
	due, hasDue := w.box.Next()
	until := start + w.spinner.budget
	if leaves, waits := w.box.NextEmission(); waits && leaves-start <= w.spinner.most {
		until = max(until, leaves)
	}
	for range maxLooks {
		n, err := w.readAll()
		if err != nil {
			return false, err
		}
		if n > 0 {
			w.spinner.grow()
			return true, nil
		}
		now := w.now()
		if hasDue && due <= now || w.mail.waiting() || w.engine.stopping() {
			return false, nil
		}
		if now >= until {
			break
		}
	}
	w.spinner.shrink()
	return false, nil
}

// sleep is how long a worker may wait: not quite until a packet has to leave, since
// a spin is to meet that moment. It is negative if nothing is ever due.
func (w *worker) sleep() time.Duration {
	next, ok := w.box.Next()
	if !ok {
		return -1
	}
	now := w.now()
	if leaves, waits := w.box.NextEmission(); waits && leaves-now > w.spinner.most {
		next = min(next, leaves-w.spinner.most)
	}
	return max(next-now, 0)
}
