package engine

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// An EventType says what an Event tells of.
type EventType string

// The types of events.
const (
	EventOpen     EventType = "open"     // a connection has begun
	EventState    EventType = "state"    // an inferred state has changed
	EventDesync   EventType = "desync"   // the same, because the wire contradicted the inference
	EventSegment  EventType = "segment"  // a segment was sent, or forged, and judged
	EventDeliver  EventType = "deliver"  // a delayed or held segment leaves
	EventRule     EventType = "rule"     // a rule has fired, with detail
	EventClose    EventType = "close"    // a connection has ended or is forgotten
	EventOverflow EventType = "overflow" // something cannot be kept, for too much is already
	EventReload   EventType = "reload"   // these rules are in force: the first event, and when they change
	EventExpect   EventType = "expect"   // an expectation was decided
)

// EventTypes are the types that there are, in the order of a connection's life.
func EventTypes() []string {
	var names []string
	for _, t := range []EventType{
		EventReload, EventOpen, EventState, EventDesync, EventSegment, EventDeliver, EventRule, EventClose, EventOverflow, EventExpect,
	} {
		names = append(names, string(t))
	}
	return names
}

// An Event is one thing that happened, in the order in which it did. A
// function that is handed one may read it until it returns; Clone keeps it.
type Event struct {
	Type        EventType
	Time        time.Duration // since the box's start
	Conn        uint64        // ordinal of the connection; 0: the event is about none
	Incarnation int
	Client      netip.AddrPort
	Server      netip.AddrPort
	Selected    bool // a rule can concern the connection, or a fault has done something to it; not part of the JSON

	// ClientState and ServerState are those after the event: after the segment
	// was sent and, if it was, delivered.
	ClientState, ServerState conntrack.State

	// Of a segment: who sent it, or is made out to have sent it.
	From     conntrack.Dir
	FromSide int    // the device behind which that endpoint is
	Flags    string // letters of SFRPAUEC
	Seq, Ack uint32 // relative to each side's ISN; numbers of an earlier incarnation, to its
	Len      int
	Win      int // the window field, unscaled
	Kinds    conntrack.Kinds
	Verdict  Verdict
	Rules    []string // that fired on it
	Reason   string   // why it did not go out, or the connection ended

	// Of a state or a desync: whose, from which state, and why.
	Endpoint  conntrack.Dir
	FromState conntrack.State
	Cause     string

	Seed uint64 // of a reload: what the dice start from

	// Of a rule, an expectation, an overflow: what was done in words; of an
	// expectation Action is pass or fail.
	Action string
	Detail string
}

// Clone is a copy that stays valid.
func (e *Event) Clone() Event {
	c := *e
	c.Rules = slices.Clone(e.Rules)
	return c
}

// A Recorder keeps events in memory, for tests. Its zero value is ready;
// goroutines may share it.
type Recorder struct {
	mu     sync.Mutex
	events []Event
}

// Record keeps a copy of the event; it fits Config.OnEvent.
func (r *Recorder) Record(e *Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e.Clone())
}

// Events is what was recorded so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}
