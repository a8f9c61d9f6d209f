package lab

import (
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
)

// An observer hears what the box does: it keeps the events, writes them, and follows
// the inferred states. The box's worker tells it, and the lab's loop asks it.
type observer struct {
	writer io.Writer // nil: nobody wants JSON
	all    bool      // JSON of connections that no rule selects, too

	mu       sync.Mutex
	zero     time.Duration // the client's start, which the times that are told count from
	begun    bool          // zero is known; until then nothing is written
	events   []engine.Event
	unkept   int
	inferred map[tuple]*inference
	order    []tuple       // of inferred
	last     time.Duration // of the last event
	moved    time.Duration // of the last segment
	pending  []byte        // JSON not written yet
	err      error         // of the writer
}

// An inference is what the box believes of one tuple.
type inference struct {
	conn    uint64             // the current connection
	states  [2]conntrack.State // by host
	touched [2]time.Duration   // when the end was last given a segment, or sent a RST
}

// maxEvents is how many events a result keeps; a bulk transfer has millions.
const maxEvents = 1 << 18

func newObserver(writer io.Writer, all bool) *observer {
	return &observer{writer: writer, all: all, inferred: make(map[tuple]*inference)}
}

// hear takes an event; it fits engine.Config.OnEvent.
func (o *observer) hear(e *engine.Event) {
	if isLink(e) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = max(o.last, e.Time)
	if e.Conn != 0 {
		o.follow(e)
	}
	o.keep(e)
}

// keep records an event, and writes it if it is wanted. It happens as soon as the last one
// did, at the earliest: a worker may look at the clock, and tell only after the loop has
// looked and told, or another worker.
func (o *observer) keep(e *engine.Event) {
	told := *e
	told.Time = o.last
	if !o.begun || len(o.events) < maxEvents {
		o.events = append(o.events, told.Clone())
	} else {
		o.unkept++
	}
	if o.begun {
		o.write(&told)
	}
}

// write writes an event if it is wanted.
func (o *observer) write(e *engine.Event) {
	if o.writer == nil || !o.all && !e.Selected && e.Conn != 0 {
		return
	}
	told := *e
	told.Time = max(told.Time-o.zero, 0) // what was before the client's start
	o.pending = told.AppendJSON(o.pending)
	if len(o.pending) > 1<<20 {
		o.flushLocked()
	}
}

// begin says which moment is zero, and writes what was before it. Later calls do nothing.
func (o *observer) begin(zero time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.begun {
		return
	}
	o.zero, o.begun = zero, true
	for i := range o.events {
		o.write(&o.events[i])
	}
}

// decided tells, as an event, what became of an expectation.
func (o *observer) decided(now time.Duration, x *Expectation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = max(o.last, now)
	e := engine.Event{Type: engine.EventExpect, Action: "pass", Detail: x.Text, Reason: x.Why}
	if !x.OK {
		e.Action = "fail"
	}
	o.keep(&e)
}

// flush writes what has gathered.
func (o *observer) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flushLocked()
	return o.err
}

func (o *observer) flushLocked() {
	if o.err == nil && len(o.pending) > 0 {
		_, o.err = o.writer.Write(o.pending)
	}
	o.pending = o.pending[:0]
}

// follow keeps up with the inferred states.
func (o *observer) follow(e *engine.Event) {
	t := tupleOf(e)
	in := o.inferred[t]
	if in == nil {
		in = &inference{}
		o.inferred[t] = in
		o.order = append(o.order, t)
	}
	if e.Conn < in.conn {
		return // the end of an earlier incarnation
	}
	in.conn = e.Conn
	in.states = [2]conntrack.State{e.ClientState, e.ServerState}
	if e.Client != t[clientSide] {
		slices.Reverse(in.states[:])
	}
	o.touch(in, e)
}

// touch notes which ends have met a segment that may have ended them. Of what an end
// sends only a RST does.
func (o *observer) touch(in *inference, e *engine.Event) {
	if e.Type != engine.EventSegment && e.Type != engine.EventDeliver {
		return
	}
	o.moved = e.Time
	sent := e.Type == engine.EventSegment && e.Verdict != engine.Forged && e.Kinds.Has(conntrack.KindRst)
	delivered := e.Type == engine.EventDeliver || e.Verdict == engine.Forged || e.Verdict == engine.Pass
	if sent {
		in.touched[e.FromSide] = e.Time
	}
	if delivered {
		in.touched[1-e.FromSide] = e.Time
	}
}

// view calls f with each tuple that the box knows, in the order in which they were opened.
func (o *observer) view(f func(t tuple, in *inference)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range o.order {
		f(t, o.inferred[t])
	}
}

// quietSince is when the last segment moved.
func (o *observer) quietSince() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.moved
}

// recorded is what was kept, its times from zero; nothing is heard any more. It is asked once.
func (o *observer) recorded() (events []engine.Event, unkept int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.events {
		o.events[i].Time -= o.zero
	}
	return o.events, o.unkept
}

// isLink takes the base path's part out of an event. It tells whether nothing else is
// in it: rules of the path are nobody's business.
func isLink(e *engine.Event) bool {
	if !slices.ContainsFunc(e.Rules, isLinkRule) {
		return false
	}
	if e.Type == engine.EventRule {
		return true
	}
	if e.Verdict == engine.Drop {
		e.Reason = "link"
	}
	e.Rules = slices.DeleteFunc(slices.Clone(e.Rules), isLinkRule)
	return false
}
