package engine

import "time"

// A spinner adapts for how long a worker with busy-poll looks again at its
// queues before it waits: longer while that catches packets, or would have with a
// little more patience, and hardly at all on a quiet connection.
type spinner struct{ budget time.Duration }

// The bounds of a spin. An answer on one machine takes some 20 µs; waiting costs
// about as much again for the wake-up (measured November 2026).
const (
	maxSpin  = 50 * time.Microsecond
	minSpin  = time.Microsecond
	maxLooks = 1000
)

func (s *spinner) grow()   { s.budget = min(max(2*s.budget, minSpin), maxSpin) }
func (s *spinner) shrink() { s.budget = max(s.budget/2, minSpin) }

// waited hears how long the wait after a spin in vain has taken.
func (s *spinner) waited(d time.Duration) {
	if d < maxSpin {
		s.grow()
	}
}

// spin looks for packets again and again, until some have come, which it tells,
// or the budget is spent. A due time, mail and the end cut it short.
func (w *worker) spin() (came bool, err error) {
	start := w.now()
	due, hasDue := w.box.Next()
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
		if now-start >= w.spinner.budget {
			break
		}
	}
	w.spinner.shrink()
	return false, nil
}
