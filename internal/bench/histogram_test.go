package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	for _, v := range []uint64{0, 1, 31, 32, 63, 64, 65, 1000, 1e6, 1e9, 1e12, 1<<63 - 1} {
		b := bucketOf(v)
		if low, next := lowestOf(b), lowestOf(b+1); v < low || v >= next {
			t.Errorf("%d is in bucket %d, which is [%d, %d)", v, b, low, next)
		}
	}
	for b := range bucketOf(1 << 63) {
		if got := bucketOf(lowestOf(b)); got != b {
			t.Errorf("bucket %d begins at %d, which is in bucket %d", b, lowestOf(b), got)
		}
	}
}

// Quantiles are those of the sorted list, up to the width of a bucket.
func TestQuantile(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var list []time.Duration
	for range 10_000 {
		d := time.Duration(dice.ExpFloat64() * float64(time.Millisecond))
		h.record(d)
		list = append(list, d)
	}
	slices.Sort(list)
	for _, q := range []float64{0, 0.01, 0.5, 0.99, 0.9999} {
		got, want := h.quantile(q), list[int(q*float64(len(list)))]
		if got < want || float64(got) > float64(want)*(1+1.0/(1<<subBits)) {
			t.Errorf("quantile %v = %v, want %v and a little", q, got, want)
		}
	}
}

func TestQuantileOfNothing(t *testing.T) {
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("got %v", got)
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	h := new(histogram)
	if n := testing.AllocsPerRun(100, func() { h.record(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
