package toxiproxy

import (
	"fmt"
	"math"
	"time"
)

// The toxics of Toxiproxy.

const data, dataOrFin = `segment = "data"`, `segment = ["data", "fin"]`

// latency delays data, and the end that follows it.
type latency struct {
	Latency int64 `json:"latency"` // ms
	Jitter  int64 `json:"jitter"`  // ms, to either side
}

func (a *latency) check() error { return positive("latency jitter", a.Latency, a.Jitter) }

// drafts: delays do not add up by themselves, since each ends a segment's walk through the
// rules; compile adds them.
func (a *latency) drafts(t *toxic) []draft {
	return []draft{{step: delaying, match: dataOrFin, late: latency{min(a.Latency, forever), min(a.Jitter, forever)}}}
}

// bandwidth limits a rate.
type bandwidth struct {
	Rate int64 `json:"rate"` // KB/s, of 1000 bytes
}

func (a *bandwidth) check() error { return positive("rate", a.Rate) }

// drafts: the queue holds more than any receive window of a connection lets come, as
// a rule, so that nothing is dropped.
func (a *bandwidth) drafts(*toxic) []draft {
	if a.Rate == 0 { // nothing passes until there is another rate
		return []draft{{step: losing, match: data, action: `"drop"`}}
	}
	return []draft{{step: shaping, match: dataOrFin, action: rate(float64(a.Rate) * 1000)}}
}

// rate is a token bucket without burst.
func rate(bytesPerSecond float64) string {
	bits := min(max(bytesPerSecond*8, 1), math.MaxInt64/2)
	return fmt.Sprintf(`{ rate = { limit = "%.0fbit", burst = 0, queue = "8MiB" } }`, bits)
}

// slowClose delays the end of a direction.
type slowClose struct {
	Delay int64 `json:"delay"` // ms
}

func (a *slowClose) check() error { return positive("delay", a.Delay) }

func (a *slowClose) drafts(*toxic) []draft {
	return []draft{{step: closing, match: `segment = "fin"`, late: latency{Latency: min(a.Delay, forever)}}}
}

// timeout loses everything, and ends the connection after a time.
type timeout struct {
	Timeout int64 `json:"timeout"` // ms; 0: the connection does not end
}

func (a *timeout) check() error { return positive("timeout", a.Timeout) }

// drafts: the time begins with the first data of either side. Where nobody says anything it begins with
// silence, but not before the toxic was there; not so for a share of the connections, since a second
// rule would choose others.
func (a *timeout) drafts(t *toxic) []draft {
	lost := draft{step: losing, either: true, match: data, action: hole(t, a.Timeout)}
	if a.Timeout == 0 || t.Toxicity < 1 {
		return []draft{lost}
	}
	limit := fmt.Sprintf("%s\nafter = %q", silent(a.Timeout), millis(a.Timeout))
	return []draft{lost, {step: losing, either: true, limit: limit, action: `{ reset = "both" }`}}
}

// silent is the moment at which a connection has been silent for so many ms.
func silent(ms int64) string { return fmt.Sprintf("at = { idle = %q }", millis(ms)) }

// hole is a black hole in the toxic's direction; after so many ms, if not 0, it ends in a reset.
func hole(t *toxic, ms int64) string {
	if ms == 0 {
		return fmt.Sprintf("{ blackhole = %q }", t.from())
	}
	return fmt.Sprintf(`{ blackhole = { from = %q, for = %q, heal = "reset" } }`, t.from(), millis(ms))
}

// forever is the longest time that a toxic takes, in ms: a year.
const forever = 365 * 24 * 3600 * 1000

func millis(ms int64) string { return (time.Duration(min(ms, forever)) * time.Millisecond).String() }

// resetPeer ends the connection by RST once something is sent.
type resetPeer struct {
	Timeout int64 `json:"timeout"` // ms from then; 0: at once
}

func (a *resetPeer) check() error { return positive("timeout", a.Timeout) }

func (a *resetPeer) drafts(t *toxic) []draft {
	if a.Timeout == 0 {
		return []draft{{step: losing, match: dataOrFin, action: `[{ reset = "both" }, "drop"]`}}
	}
	return []draft{{step: losing, match: dataOrFin, action: hole(t, a.Timeout)}}
}

// slicer sends data in small pieces.
type slicer struct {
	AverageSize   int64 `json:"average_size"`   // bytes
	SizeVariation int64 `json:"size_variation"` // without effect: all pieces have the average size
	Delay         int64 `json:"delay"`          // µs from one to the next
}

func (a *slicer) check() error {
	return positive("average_size size_variation delay", a.AverageSize, a.SizeVariation, a.Delay)
}

func (a *slicer) drafts(*toxic) []draft {
	size := min(max(a.AverageSize, 1), math.MaxUint16)
	apart := time.Duration(min(a.Delay, time.Hour.Microseconds())) * time.Microsecond
	return []draft{{step: shaping, match: data, action: fmt.Sprintf("{ split = { size = %d, apart = %q } }", size, apart)}}
}

// limitData ends the connection after so many bytes.
type limitData struct {
	Bytes int64 `json:"bytes"`
}

func (a *limitData) check() error { return positive("bytes", a.Bytes) }

// drafts: the segment with the last byte that may pass is cut behind it and becomes the
// end of the stream, as far as its receiver can tell; its sender is reset.
func (a *limitData) drafts(t *toxic) []draft {
	last := `">= 0"`
	if a.Bytes > 0 {
		last = fmt.Sprintf(`["contains %d", ">= %d"]`, a.Bytes-1, a.Bytes)
	}
	cut := fmt.Sprintf(`{ rewrite = { truncate_at = %d, set = "F" } }`, a.Bytes)
	return []draft{{step: losing, match: data + ", offset = " + last, action: fmt.Sprintf("[%s, { reset = %q }]", cut, t.from())}}
}

// packetLoss loses segments, which TCP sends again.
type packetLoss struct {
	Probability float64 `json:"probability"`
}

func (a *packetLoss) check() error {
	if a.Probability < 0 || a.Probability > 1 {
		return errProbability
	}
	return nil
}

func (a *packetLoss) drafts(*toxic) []draft {
	return []draft{{step: losing, limit: fmt.Sprintf("probability = %g", a.Probability), action: `"drop"`}}
}

// noop does nothing.
type noop struct{}

func (*noop) check() error { return nil }

func (*noop) drafts(*toxic) []draft { return nil }
