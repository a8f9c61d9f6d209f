package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
)

// A ladder is one 4-tuple's life as text: time, what the client host's endpoint is in,
// an arrow for each segment, what the server host's endpoint is in, and what the box did.
//
//	0.001  SYN_SENT     |S 0:0 ------------------------------->|  SYN_RCVD
//	0.001  ESTABLISHED  |<-------------------------SA 0:0 ack 1|
//	0.009  TIME_WAIT    |A 6:6 ack 6 -----------x              |             lose-last-ack
//
// The box stands in the middle: an arrow that ends there with x was dropped, with ~ is
// kept back, with * is edited; one that begins there leaves after that (~, *), or was
// forged (=) or duplicated (+). What a [[step]] did stands there without an arrow.
type ladder struct {
	rows   []row
	states [2]string         // as the margins show them
	acting map[string]string // what a rule did last, by its name
}

// A row is one line of a ladder.
type row struct {
	at      time.Duration
	margins [2]string // the states that have changed
	arrow   arrow
	note    string
	step    string        // what was done to a host or to the rules; there is no arrow then
	boring  bool          // nothing but data and its acknowledgments
	left    string        // what stood here and is left out; there is no arrow then
	until   time.Duration // when the last of that was
}

// An arrow is one segment on its way.
type arrow struct {
	label  string // empty: there is no segment
	toLeft bool
	how    fate
	bytes  int
}

// A fate is how far a segment gets.
type fate uint8

const (
	through   fate = iota
	kept           // until the box, for now
	changed        // until the box, which edits it
	late           // from the box
	edited         // from the box, other than it was sent
	lost           // until the box
	forged         // from the box; nobody sent it
	duplicate      // from the box; a copy
)

// ladderOf draws the events of one tuple.
func (r *Result) ladderOf(t tuple) *ladder {
	l := &ladder{acting: make(map[string]string)}
	listens := r.listened[serverSide][t[serverSide].Port()] || r.listened[clientSide][t[clientSide].Port()]
	steps := r.Steps
	for i := range r.Events {
		e := &r.Events[i]
		if e.Conn == 0 || tupleOf(e) != t {
			continue
		}
		steps = l.stepsUntil(e.Time, steps)
		l.add(e, e.Time, listens)
	}
	l.stepsUntil(never, steps)
	return l
}

// stepsUntil adds a row for each of the steps up to a time, and returns those after it.
func (l *ladder) stepsUntil(at time.Duration, steps []Step) []Step {
	for len(steps) > 0 && steps[0].At <= at {
		l.rows = append(l.rows, row{at: steps[0].At, step: steps[0].Text})
		steps = steps[1:]
	}
	return steps
}

// add takes the next event.
func (l *ladder) add(e *engine.Event, at time.Duration, listens bool) {
	states := margins(e)
	switch e.Type {
	case engine.EventOpen:
		if listens {
			states[serverSide^swapped(e)] = listenName
		}
		note := ""
		if e.Incarnation > 1 {
			note = fmt.Sprintf("incarnation %d", e.Incarnation)
		}
		l.states = [2]string{}
		l.push(row{at: at, note: note}, states)
	case engine.EventState, engine.EventDesync:
		l.push(row{at: at, note: cause(e)}, states)
	case engine.EventRule:
		for _, name := range e.Rules {
			l.acting[name] = e.Action
		}
	case engine.EventSegment, engine.EventDeliver:
		l.segment(e, at, states)
	}
}

// cause tells of a change without a segment why it came; the others explain themselves.
func cause(e *engine.Event) string {
	if e.Cause == conntrack.ByTimer.String() {
		return "its timer ran out"
	}
	return ""
}

// margins are the states of an event by host.
func margins(e *engine.Event) [2]string {
	s := [2]string{e.ClientState.String(), e.ServerState.String()}
	if swapped(e) != 0 {
		slices.Reverse(s[:])
	}
	return s
}

// swapped is 1 if the server host's endpoint began the connection.
func swapped(e *engine.Event) int {
	if isOf(serverSide, e.Client) {
		return 1
	}
	return 0
}

// segment adds a segment's row. Changes of state that it has brought about stand on
// it, not before it.
func (l *ladder) segment(e *engine.Event, at time.Duration, states [2]string) {
	for len(l.rows) > 0 {
		last := &l.rows[len(l.rows)-1]
		if last.arrow.label != "" || last.step != "" || last.at != at || last.opens() {
			break
		}
		for side, s := range last.margins {
			if s != "" {
				l.states[side] = "" // shown again below
			}
		}
		l.rows = l.rows[:len(l.rows)-1]
	}
	r := row{at: at, note: l.note(e)}
	if l.fate(e) == edited {
		l.markChanged(e)
	}
	r.arrow = arrow{label: label(e), toLeft: e.FromSide == serverSide, how: l.fate(e), bytes: e.Len}
	r.boring = r.arrow.how <= late && r.note == "" && e.Kinds&^plainKinds == 0 && !strings.ContainsAny(e.Flags, "SFR")
	l.push(r, states)
}

// markChanged ends the arrow of a segment at the box: what leaves of it is another.
func (l *ladder) markChanged(e *engine.Event) {
	if len(l.rows) == 0 {
		return
	}
	last := &l.rows[len(l.rows)-1]
	if last.arrow.how == through && last.arrow.toLeft == (e.FromSide == serverSide) {
		last.arrow.how, last.boring = changed, false
	}
}

// opens tells whether a row begins an incarnation: both margins stand on it.
func (r *row) opens() bool { return r.margins[0] != "" && r.margins[1] != "" }

// plainKinds are those of segments of which one is like the other where there are many.
var plainKinds = conntrack.KindsOf(conntrack.KindData, conntrack.KindAck, conntrack.KindDupAck, conntrack.KindWindowUpdate,
	conntrack.KindRetransmission, conntrack.KindOutOfOrder)

// push appends a row with those states that have changed since the one before.
func (l *ladder) push(r row, states [2]string) {
	for side, s := range states {
		if s != l.states[side] && !(s == conntrack.Closed.String() && l.states[side] == listenName) {
			r.margins[side] = s
			l.states[side] = s
			r.boring = false
		}
	}
	if r.arrow.label == "" && r.note == "" && r.margins == [2]string{} {
		return
	}
	l.rows = append(l.rows, r)
}

// label is "FA 101:101 ack 201", or "icmp port-unreachable about 101".
func label(e *engine.Event) string {
	if e.Kinds.Has(conntrack.KindICMP) {
		return fmt.Sprintf("icmp %s about %d", e.Detail, e.Seq)
	}
	flags := e.Flags
	if flags == "" {
		flags = "-"
	}
	text := fmt.Sprintf("%s %d:%d", flags, e.Seq, e.Seq+uint32(e.Len))
	if strings.Contains(e.Flags, "A") {
		text += fmt.Sprintf(" ack %d", e.Ack)
	}
	return text
}

// note is which rules fired, or why else the segment did not get through.
func (l *ladder) note(e *engine.Event) string {
	note := strings.Join(e.Rules, ", ")
	switch {
	case note == "" && e.Verdict == engine.Drop:
		return e.Reason
	case note == "": // the base path delays it
	case e.Verdict == engine.Hold && e.Type == engine.EventSegment:
		return note + " (held)"
	case e.Type == engine.EventDeliver && e.Verdict == engine.Pass:
		return ""
	case e.Type == engine.EventDeliver:
		return note + " (let go)"
	}
	return note
}

func (l *ladder) fate(e *engine.Event) fate {
	switch {
	case e.Type == engine.EventDeliver && e.Verdict == engine.Pass:
		return edited
	case e.Type == engine.EventDeliver:
		return late
	case e.Verdict == engine.Drop:
		return lost
	case e.Verdict == engine.Delay || e.Verdict == engine.Hold:
		return kept
	case e.Verdict != engine.Forged:
		return through
	case len(e.Rules) > 0 && l.acting[e.Rules[0]] == "duplicate":
		return duplicate
	}
	return forged
}
