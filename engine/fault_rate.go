package engine

import (
	"fmt"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
)

// rateFault is a token bucket: segments leave no faster than a limit. What
// does not fit into its queue is dropped.
type rateFault struct {
	Limit  rules.Rate `rule:"limit,primary" doc:"bits per second, IP and TCP headers included" required:"true" min:"1bit"`
	Burst  rules.Size `rule:"burst" doc:"what may leave at once after silence" default:"16KiB"`
	Queue  rules.Size `rule:"queue" doc:"what may wait; a full queue drops" default:"256KiB"`
	Shared bool       `rule:"shared" doc:"one bucket a direction for all connections, as a link is, not one for each" default:"false"`
}

var _ = register("rate", "a token bucket per connection and direction", onward, func() Fault { return new(rateFault) })

// A bucket is empty until a time: then all that it let through has had its share.
type bucket struct{ busy time.Duration }

func (f *rateFault) Apply(j *Journey) {
	b := &j.counts.buckets[j.Dir]
	if f.Shared {
		totals := j.rule.totals // perhaps with other workers
		totals.mu.Lock()
		defer totals.mu.Unlock()
		b = &totals.buckets[j.Conn.Side(j.Dir)]
	}
	busy := max(b.busy, j.Now)
	wait := max(0, busy-j.Now-f.takes(int64(f.Burst)))
	if wait > f.takes(int64(f.Queue)) {
		j.decide(Drop)
		j.tell("rate", func() string { return "the queue is full" })
		return
	}
	b.busy = busy + f.takes(j.size())
	if j.late += wait; j.by == nil {
		j.by = j.rule
	}
	j.tell("rate", func() string { return fmt.Sprintf("%v late", wait) })
}

// size is the bytes of the packet in hand, from its IP header on.
func (j *Journey) size() int64 {
	if j.Kinds.Has(conntrack.KindICMP) {
		return int64(j.box.buf.n)
	}
	return int64(j.packet.HeaderLen()) + int64(j.Seg.Len)
}

// takes is how long so many bytes take at the limit.
func (f *rateFault) takes(bytes int64) time.Duration {
	return time.Duration(float64(bytes) / f.Limit.BytesPerSecond() * float64(time.Second))
}
