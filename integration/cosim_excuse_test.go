package integration

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// An excuse is a difference that no segment has told of. Each has an exact
// condition, and is counted.
type excuse string

const (
	// The kernel has no socket any more, and nothing was sent or delivered since both
	// agreed: a timer, or a close in a state that says nothing.
	silentEnd excuse = "ended in silence"
	// The process has closed, but its FIN waits behind data for which there is no room.
	keptBack excuse = "FIN kept back"
	// Such a FIN left after the peer's had come: to the wire it is that of LAST_ACK.
	keptBackTooLong excuse = "FIN kept back beyond the peer's"
	// FIN_WAIT_2 without a process takes any RST in its window.
	orphanReset excuse = "RST in the window of FIN_WAIT_2 without a process"
	// Such a one takes none with an old timestamp.
	orphanStale excuse = "old RST refused by FIN_WAIT_2 without a process"
	// With tcp_max_tw_buckets = 0 there is no FIN_WAIT_2 without a process.
	orphanGone excuse = "FIN_WAIT_2 without a process or a bucket"
	// Out of memory, an endpoint refuses what lies beyond its closed window with the
	// acknowledgment on it. Of several segments delivered at once the wire does not
	// tell which were the ones; its repeated FIN does.
	refusedUnseen excuse = "acknowledgment of the FIN refused for want of memory"
	// Its SYN was under way when a RST was delivered to it, and so was not seen before.
	// To the wire it may as well have opened after that.
	metReset excuse = "SYN met by a RST"
	// It has sent its FIN once more, and the acknowledgment met that; but the box, busy, has
	// read it so late that it seems to have been sent after that.
	readLate excuse = "repeated FIN read late"
	// The acknowledgment of its FIN lies beyond its window, as it was known. It has opened
	// that in time, but the box has read of it only afterwards.
	openedUnseen excuse = "window opened unseen"
	// It had no room for what came beyond a hole, and has kept nothing of that; so a RST at
	// the end of it is not exact.
	keptNothing excuse = "RST beyond a hole, and nothing kept there"
	// A FIN that arrives while close(2) has the socket waits in its backlog, and that is
	// thrown away with the socket: what is left in FIN_WAIT_2 has not seen it. The peer
	// repeats it.
	metClose excuse = "FIN met by close"
)

// excuse is why the wire cannot have told of the difference; "" if it can.
func (x *end) excuse(s *sample, noTimeWait bool) excuse {
	if s.kernel == conntrack.Closed {
		why := x.excuseEnd(s, noTimeWait)
		if why != "" && x.dead < 0 {
			x.dead = x.wire.spoke
		}
		return why
	}
	switch {
	case x.keepsFin(s):
		return keptBack
	case x.late && s.kernel == conntrack.Closing && s.model == conntrack.LastAck,
		x.late && s.kernel == conntrack.TimeWait && s.model == conntrack.Closed:
		return keptBackTooLong
	case x.wire.noMemory && withFinAcked[s.kernel] == s.model:
		return refusedUnseen
	case withFinAcked[s.model] == s.kernel && x.readLate():
		return readLate
	case withFinAcked[s.model] == s.kernel && soonAfter(x.wire.opened, x.wire.givenAt):
		return openedUnseen
	case s.model == conntrack.Closed && x.wire.rstBeyond && x.wire.acked < x.wire.givenTo:
		return keptNothing
	case s.kernel == conntrack.FinWait2 && s.socket.Inode == 0 && s.model == conntrack.Closed && x.wire.rst > x.agreed:
		return orphanStale
	case s.kernel == conntrack.FinWait2 && s.socket.Inode == 0 && s.model == conntrack.TimeWait && x.metClose(s):
		return metClose
	}
	return ""
}

// excuseEnd: the kernel has no socket, and the model believes in one.
func (x *end) excuseEnd(s *sample, noTimeWait bool) excuse {
	switch orphan := s.model == conntrack.FinWait2 && s.process.closed; {
	case x.dead == x.wire.spoke, x.agreed == x.wire.touched, x.ranOut(), x.quitSilently(s):
		return silentEnd
	case s.model <= conntrack.SynRcvd && x.metReset():
		return metReset
	case s.model == conntrack.LastAck && x.readLate():
		return readLate
	case orphan && x.wire.rst > x.agreed:
		return orphanReset
	case orphan && noTimeWait:
		return orphanGone
	}
	return ""
}

// ranOut tells whether the socket's timer was due between the last look that found it
// and the first that did not: there may have been none between its last segment and its end.
func (x *end) ranOut() bool {
	k := &x.alive.socket
	if !x.clear || x.gone < x.alive.at+k.Expires-jiffies {
		return false
	}
	switch k.Timer {
	case netns.TimerRetransmit, netns.TimerPersist:
		tried := k.Retransmits > 0 || x.spoken < x.wire.spoke
		return tried || x.alive.kernel == conntrack.SynRcvd // of a listener; it may have no retries
	}
	return k.Timer != netns.TimerOff
}

// jiffies is how far off a timer that sock_diag tells of may be.
const jiffies = 8 * time.Millisecond

// meeting is how near to its process's close a segment must arrive for Linux to take
// it from the socket's backlog when that is CLOSED, and to drop it.
const meeting = 2 * time.Millisecond

// metClose tells whether the last segment came while the process closed.
func (x *end) metClose(s *sample) bool {
	apart := s.process.shutAt - x.wire.givenAt
	return s.process.closed && -meeting < apart && apart < meeting
}

// metReset tells whether it was given a RST just before its SYN was seen.
func (x *end) metReset() bool {
	apart := x.wire.synAt - x.wire.rstAt
	return x.wire.rstAt > 0 && 0 <= apart && apart < meeting
}

// readLate tells whether its FIN came again soon after something was delivered to it, and
// nothing has been since.
func (x *end) readLate() bool { return soonAfter(x.wire.finAgain, x.wire.givenAt) }

func soonAfter(t, event time.Duration) bool { return event < t && t-event < crossing }

// crossing is how long the box may not have run.
const crossing = 100 * time.Millisecond

// quitSilently tells whether the process has closed in a state in which Linux sends
// nothing then, and nothing but that can have ended the endpoint.
func (x *end) quitSilently(s *sample) bool {
	p := &s.process
	if !p.quit {
		return false
	}
	switch s.model {
	case conntrack.SynSent: // what comes is answered by RST, socket or not
		return true
	case conntrack.Closing, conntrack.LastAck:
		return p.aborted && (p.given == x.wire.given || p.shutAt > x.alive.at)
	case conntrack.Established, conntrack.SynRcvd: // it was SYN_SENT
		apart := p.quitAt - x.wire.givenAt
		return x.wire.silent && -meeting < apart && apart < meeting
	}
	return false
}

// withoutFin is how the states look while a FIN is kept back.
var withoutFin = map[conntrack.State]conntrack.State{
	conntrack.FinWait1: conntrack.Established,
	conntrack.Closing:  conntrack.CloseWait,
	conntrack.LastAck:  conntrack.CloseWait,
}

// withFinAcked is where an acknowledgment of its FIN takes an endpoint.
var withFinAcked = map[conntrack.State]conntrack.State{
	conntrack.FinWait1: conntrack.FinWait2,
	conntrack.Closing:  conntrack.TimeWait,
}

// keepsFin tells whether all the difference is a FIN that the kernel keeps back.
func (x *end) keepsFin(s *sample) bool {
	opening := s.kernel == conntrack.FinWait1 && s.model == conntrack.SynRcvd
	return !x.wire.fin && (withoutFin[s.kernel] == s.model || opening)
}
