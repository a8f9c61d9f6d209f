package bench

import (
	"math/bits"
	"time"
)

// A histogram counts durations in buckets whose width is about 3 % of their
// value, so that it takes no memory on the way of a measurement. The zero value is
// ready; one goroutine owns it.
type histogram struct {
	buckets [64 << subBits]uint64
	count   uint64
}

// subBits is how many bits a bucket keeps after a value's first.
const subBits = 5

func (h *histogram) record(d time.Duration) {
	h.buckets[bucketOf(uint64(max(d, 0)))]++
	h.count++
}

// quantile is the duration that a part q of those recorded do not exceed: the
// upper end of the bucket that it is in. It is 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.count))
	for i, n := range h.buckets {
		if n > rank {
			return time.Duration(lowestOf(i+1) - 1)
		}
		rank -= n
	}
	return 0
}

// bucketOf counts small values one by one, and larger ones by their highest bits.
func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// lowestOf is the smallest value of a bucket: the inverse of bucketOf.
func lowestOf(bucket int) uint64 {
	shift := max(bucket>>subBits-1, 0)
	return uint64(bucket-shift<<subBits) << shift
}
