package integration

import (
	"fmt"
	"strings"

	"github.com/tcpmangle/tcpmangle/engine"
)

// ladder is what happened on the 4-tuple, a line each.
func (tr *track) ladder() string {
	log := tr.log
	var text strings.Builder
	if cut := len(log) - *cosimLadder; cut > 0 {
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
