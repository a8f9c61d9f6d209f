package integration

import (
	"fmt"
	"sort"
	"strings"

	"github.com/tcpmangle/tcpmangle/engine"
)

// A tally is what was seen in one round or in many.
type tally struct {
	rounds      int
	connections int
	agreements  int // samples of an endpoint in which both were the same
	doubts      int // in which they were not, most of them because something was under way
	unburied    int // endpoints that ended in silence and were not CLOSED by the end
	excuses     map[excuse]int
	verdicts    [5]uint64
}

func (a *tally) add(b *tally) {
	a.rounds += b.rounds
	a.connections += b.connections
	a.agreements += b.agreements
	a.doubts += b.doubts
	a.unburied += b.unburied
	for why, n := range b.excuses {
		a.addExcuse(why, n)
	}
	for i, n := range b.verdicts {
		a.verdicts[i] += n
	}
}

func (a *tally) excuse(why excuse) { a.addExcuse(why, 1) }

func (a *tally) addExcuse(why excuse, n int) {
	if a.excuses == nil {
		a.excuses = make(map[excuse]int)
	}
	a.excuses[why] += n
}

func (a *tally) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d rounds, %d connections, %d agreements, %d doubts", a.rounds, a.connections, a.agreements, a.doubts)
	var names []string
	for why, n := range a.excuses {
		names = append(names, fmt.Sprintf("; %s: %d", why, n))
	}
	sort.Strings(names)
	text.WriteString(strings.Join(names, ""))
	fmt.Fprintf(&text, "; of these not CLOSED at the end: %d; segments", a.unburied)
	for v, n := range a.verdicts {
		fmt.Fprintf(&text, " %v %d", engine.Verdict(v), n)
	}
	return text.String()
}

// maxLadder is how many lines of a ladder are printed, the last ones.
const maxLadder = 150

// ladder is what happened on the 4-tuple, a line each.
func (tr *track) ladder() string {
	log := tr.log
	var text strings.Builder
	if cut := len(log) - maxLadder; cut > 0 {
		fmt.Fprintf(&text, "... %d lines\n", cut)
		log = log[cut:]
	}
	for i := range log {
		fmt.Fprintf(&text, "%10.6f  %s\n", log[i].at.Seconds(), tr.line(&log[i]))
	}
	return text.String()
}

func (tr *track) line(en *entry) string {
	e := &en.event
	if e.Type == "" {
		return strings.Repeat(" ", 26) + en.note
	}
	left, right := e.ClientState, e.ServerState
	if e.Client != tr.tuple[0] {
		left, right = right, left
	}
	states := fmt.Sprintf("%-11v %-11v", left, right)
	switch e.Type {
	case engine.EventSegment, engine.EventDeliver:
		arrow := "0>"
		if e.FromSide == 1 {
			arrow = "<1"
		}
		return fmt.Sprintf("%s   %s %-3s %d:%d ack %d win %d  %v %v %v %s %s", states, arrow, e.Flags, e.Seq,
			int(e.Seq)+e.Len, e.Ack, e.Win, e.Type, e.Verdict, e.Rules, e.Kinds, e.Reason)
	case engine.EventState:
		return fmt.Sprintf("%s      %v was %v by %s", states, e.Endpoint, e.FromState, e.Cause)
	}
	return fmt.Sprintf("%s      %v %d %v %s %s %s", states, e.Type, e.Conn, e.Rules, e.Action, e.Detail, e.Reason)
}
