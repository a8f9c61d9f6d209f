package engine_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// Each distribution of the jitter has the middle and the tails that it promises, in
// units of the jitter around the delay.
func TestDelayDistributions(t *testing.T) {
	for _, tt := range []struct {
		name             string
		low, middle      float64 // the first and the fifth tenth end here
		high, mean, most float64 // the ninth tenth; the average; a bound of all, or none
	}{
		{"uniform", -0.8, 0, 0.8, 0, 1},
		{"normal", -1.2816, 0, 1.2816, 0, math.Inf(1)},
		{"pareto", 0.0357, 0.2599, 1.1544, 0.5, math.Inf(1)},   // (1-p)^(-1/3) - 1
		{"lognormal", -0.7224, 0, 2.6022, 0.6487, math.Inf(1)}, // exp(N) - 1
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := delays(t, tt.name)
			slices.Sort(at)
			sum := 0.0
			for _, x := range at {
				sum += x
			}
			n := len(at)
			near(t, "the first tenth", at[n/10], tt.low)
			near(t, "the median", at[n/2], tt.middle)
			near(t, "the ninth tenth", at[n*9/10], tt.high)
			near(t, "the mean", sum/float64(n), tt.mean)
			if at[n-1] > tt.most {
				t.Errorf("the most is %.4f, beyond %.4f", at[n-1], tt.most)
			}
		})
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 0.06*max(1, math.Abs(want)) {
		t.Errorf("%s is at %.4f, want %.4f", what, got, want)
	}
}

// delays is how much later than 10 s each of many segments leaves, in units of a second
// of jitter.
func delays(t *testing.T, distribution string) (at []float64) {
	const (
		segments = 10000
		size     = 10
	)
	w := newWorld(engine.BoxConfig{Seed: 1, Rules: mustParse(t, fmt.Sprintf(`
[[rule]]
match = { segment = "data" }
action = { delay = { by = "10s", jitter = "1s", distribution = %q, keep_order = false } }`, distribution))})
	w.send(handshake(0)...)
	w.left = nil
	for n := range uint32(segments) {
		w.send(segment{from: client, flags: wire.ACK, seq: 1 + size*n, ack: 1, size: size})
	}
	w.advance(time.Hour)
	if len(w.left) != segments {
		t.Fatalf("%d left of %d", len(w.left), segments)
	}
	for _, l := range w.left {
		at = append(at, (l.at - 10*time.Second).Seconds())
	}
	return at
}
