package conntrack

import (
	"fmt"
	"strings"
)

// A State is what we infer of one endpoint (RFC 9293, section 3.3.2). LISTEN is
// missing on purpose: it belongs to a port, not to a connection. An endpoint
// that has no socket for the 4-tuple is Closed.
type State uint8

// The states of an endpoint, in the order of a connection's life.
const (
	Closed State = iota
	SynSent
	SynRcvd
	Established
	FinWait1
	FinWait2
	CloseWait
	Closing
	LastAck
	TimeWait
	numStates
)

var stateNames = [numStates]string{
	"CLOSED", "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "FIN_WAIT_1",
	"FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT",
}

// String is the state as events, ladders and rule files write it: FIN_WAIT_1.
func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// otherStateNames are those of ss and netstat, folded as ParseState folds its input.
var otherStateNames = map[string]State{
	"UNCONN": Closed, "CLOSE": Closed,
	"SYN_RECV": SynRcvd, "SYN_RECEIVED": SynRcvd,
	"ESTAB":    Established,
	"FINWAIT1": FinWait1, "FINWAIT2": FinWait2,
	"FIN_WAIT1": FinWait1, "FIN_WAIT2": FinWait2,
}

// ParseState reads a state's name: ours in any case and with - for _, and those
// that ss and netstat print (ESTAB, SYN-RECV, FIN-WAIT-2, FIN_WAIT2).
func ParseState(text string) (State, bool) {
	name := strings.ReplaceAll(strings.ToUpper(text), "-", "_")
	for s, n := range stateNames {
		if n == name {
			return State(s), true
		}
	}
	s, ok := otherStateNames[name]
	return s, ok
}

// StateNames lists the states in the order of a connection's life.
func StateNames() []string { return append([]string(nil), stateNames[:]...) }

// Synchronized tells whether both sides' sequence numbers are known to the
// endpoint (RFC 9293, section 3.10.7.4).
func (s State) Synchronized() bool { return s >= Established }

// A StateSet is a set of states; the zero value is empty.
type StateSet uint16

// StatesOf makes a set.
func StatesOf(states ...State) (set StateSet) {
	for _, s := range states {
		set |= 1 << s
	}
	return set
}

// Has tells whether s is in the set.
func (set StateSet) Has(s State) bool { return set&(1<<s) != 0 }

// String lists the members, as a message about a rule wants them.
func (set StateSet) String() string {
	var names []string
	for s := range numStates {
		if set.Has(s) {
			names = append(names, s.String())
		}
	}
	return strings.Join(names, ", ")
}
