package engine

import (
	"math/bits"
	"time"
)

// Lateness counts what had waited for its due time by how late it was let out
// then: the first element what was less than a microsecond late, element i what
// was at least 2^(i-1) and less than 2^i microseconds late, the last also what was later.
type Lateness [22]uint64

func (l *Lateness) note(late time.Duration) {
	i := bits.Len64(uint64(max(late, 0) / time.Microsecond))
	l[min(i, len(l)-1)]++
}

// LatenessBound is the lateness that everything in element i stays below; of the
// last element it is only where a bound would be.
func LatenessBound(i int) time.Duration { return time.Microsecond << i }

// Count is how much was let out at its due time.
func (l *Lateness) Count() (n uint64) {
	for _, c := range l {
		n += c
	}
	return n
}

// Quantile is a bound that the share q of all stayed below, 0.99 for the 99th
// percentile; it is at most twice the true value. 0 if nothing was counted.
func (l *Lateness) Quantile(q float64) time.Duration {
	rest := q * float64(l.Count())
	for i, c := range l {
		if rest -= float64(c); c > 0 && rest <= 0 {
			return LatenessBound(i)
		}
	}
	return 0
}
