package integration

import (
	"github.com/tcpmangle/tcpmangle/conntrack"
)

// An excuse is a difference that no segment has told of. Each has an exact
// condition, and is counted.
type excuse string

const (
	// The kernel has no socket any more, and nothing has been sent or delivered since
	// both agreed: a timer, or a close in a state that says nothing.
	silentEnd excuse = "ended in silence"
	// The process has closed, but its FIN waits behind data for which there is no room.
	keptBack excuse = "FIN kept back"
	// Such a FIN left after the peer's had come: to the wire it is that of LAST_ACK.
	keptBackTooLong excuse = "FIN kept back beyond the peer's"
	// FIN_WAIT_2 without a process takes any RST in its window.
	orphanReset excuse = "RST in the window of FIN_WAIT_2 without a process"
	// With tcp_max_tw_buckets = 0 there is no FIN_WAIT_2 without a process.
	orphanGone excuse = "FIN_WAIT_2 without a process or a bucket"
)

// withoutFin is how the states look while a FIN is kept back.
var withoutFin = map[conntrack.State]conntrack.State{
	conntrack.FinWait1: conntrack.Established,
	conntrack.Closing:  conntrack.CloseWait,
	conntrack.LastAck:  conntrack.CloseWait,
}

// leftSilently are the states in which Linux sends nothing when a process closes, or
// closes with SO_LINGER 0.
var leftSilently = conntrack.StatesOf(conntrack.SynSent, conntrack.Closing, conntrack.LastAck)

// observe notes what only the kernel's side can tell and an excuse may need later.
func (x *end) observe(peer *end, s sample) {
	x.kept = !x.fin && withoutFin[s.kernel] != 0
}

// keepsFin tells whether all the difference is a FIN that the kernel keeps back.
func (x *end) keepsFin(s sample) bool {
	opening := s.kernel == conntrack.FinWait1 && s.model == conntrack.SynRcvd
	return x.kept && (withoutFin[s.kernel] == s.model || opening)
}

// excuse is why the wire cannot have told of the difference; "" if it can.
func (x *end) excuse(s sample) excuse {
	switch {
	case s.kernel == conntrack.Closed && x.dead == x.sent:
		return silentEnd
	case s.kernel == conntrack.Closed && (x.agreed == x.touched || x.left == x.given && leftSilently.Has(s.model)):
		x.dead = x.sent
		return silentEnd
	case s.kernel == conntrack.Closed && s.model == conntrack.SynSent && x.quit:
		x.dead = x.sent
		return silentEnd
	case s.kernel == conntrack.Closed && s.model == conntrack.FinWait2 && x.gone && x.rst == x.touched:
		x.dead = x.sent
		return orphanReset
	case s.kernel == conntrack.Closed && s.model == conntrack.FinWait2 && x.gone && x.noTimeWait:
		x.dead = x.sent
		return orphanGone
	case x.keepsFin(s):
		return keptBack
	case x.late && s.kernel == conntrack.Closing && s.model == conntrack.LastAck,
		x.late && s.kernel == conntrack.TimeWait && s.model == conntrack.Closed:
		return keptBackTooLong
	}
	return ""
}
