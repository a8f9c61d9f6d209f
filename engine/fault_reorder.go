package engine

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// reorderFault lets later segments overtake one. Those count that came in after it
// and have left, whatever they carry: its own retransmission overtakes it too, as it
// does where a network reorders, and is not swallowed as that of a held one is. Copies and
// what is forged do not count.
type reorderFault struct {
	Behind  int           `rule:"behind,primary" doc:"how many later segments of its direction go first" default:"1" min:"1" max:"1000"`
	Timeout time.Duration `rule:"timeout" doc:"the longest it waits for them" default:"200ms" min:"1us"`
}

var _ = register("reorder", "let later segments of its direction go first", terminal, func() Fault { return new(reorderFault) })

func (f *reorderFault) Apply(j *Journey) {
	if j.box.leaderOf(j.flow, j.Dir, j.Conn.Ordinal()) != 0 || !j.decide(Hold) {
		return // nothing overtakes what stands behind a held segment
	}
	j.reorder = f
	j.tell("reorder", func() string { return fmt.Sprintf("behind %d, for %v at most", f.Behind, f.Timeout) })
}

// letOvertake keeps the segment in hand until enough later ones have left. At its
// timeout it still keeps behind what had been delayed before it.
func (b *Box) letOvertake(j *Journey, w wait) {
	w.ahead = j.reorder.Behind
	place := b.enqueue(w, max(j.Now+j.reorder.Timeout, j.flow.order[j.Dir]))
	j.flow.overtaken = append(j.flow.overtaken, ticket{place, b.waitAt(place).ticket})
}

// overtaking tells whether a segment of the connection waits to be overtaken.
func (b *Box) overtaking(c *conntrack.Conn) bool {
	if c == nil {
		return false
	}
	f := b.flowOf(c)
	return f != nil && len(f.overtaken) > 0
}

// lastArrival is the arrival of the segment in hand: after everything that waits.
const lastArrival = math.MaxUint64

// overtake counts a segment that has left for those that it has overtaken, and lets
// them go whose turn has come.
func (b *Box) overtake(f *flow, d conntrack.Dir, arrival uint64) {
	if len(f.overtaken) == 0 {
		return
	}
	for _, t := range f.overtaken {
		if w := b.waiting(t); w != nil && w.dir == d && w.arrival < arrival {
			w.ahead--
		}
	}
	b.letOvertaken(f)
}

// letOvertaken lets go, in the order in which they came, those of a flow that have
// been overtaken often enough. One that goes may be the last that another waits for.
func (b *Box) letOvertaken(f *flow) {
	for {
		i := slices.IndexFunc(f.overtaken, func(t ticket) bool {
			w := b.waiting(t)
			return w == nil || w.ahead <= 0
		})
		if i < 0 {
			return
		}
		t := f.overtaken[i]
		f.overtaken = slices.Delete(f.overtaken, i, i+1)
		if b.waiting(t) != nil {
			b.flush()
			b.leave(b.settle(t.place))
		}
	}
}

// waiting is the wait that a ticket calls, nil if it has gone.
func (b *Box) waiting(t ticket) *wait {
	if w := b.waitAt(t.place); w.ticket == t.ticket {
		return w
	}
	return nil
}

// leaveSingly lets the segments of a wait out one by one, since another may
// have to leave between them. The buffer stays the caller's.
func (b *Box) leaveSingly(w wait) {
	for i := w.from; i < w.to; i++ {
		one := w
		one.from, one.to, one.buf = i, i+1, w.buf.Keep()
		b.leave(one)
	}
}

// endReordering lets go everything that waits to be overtaken.
func (b *Box) endReordering(f *flow) {
	for _, t := range f.overtaken {
		if w := b.waiting(t); w != nil {
			w.ahead = 0
		}
	}
	b.letOvertaken(f)
}
