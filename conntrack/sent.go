package conntrack

import (
	"math"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// crossing is how long a segment may have been under way to us while a
// delivery changed its sender: within this time after a delivery, an older
// acknowledgment is no contradiction, the two have crossed.
const crossing = 100 * time.Millisecond

// closeBy is crossing for the numbers of an endpoint that has answered its SYN within
// that time. Should it be too short once, the next acknowledgment puts it right; what
// nothing puts right, a socket taken for alive, has the longer time always.
const closeBy = 5 * time.Millisecond

// crossed tells whether x may have sent what we see now before it was given
// what we delivered to it last.
func (st *step) crossed(x *Endpoint) bool { return st.answering(x) <= crossing }

// outdated tells whether the numbers of a segment from x may be older than what we
// delivered to it last.
func (st *step) outdated(x *Endpoint) bool {
	if x.has(near) {
		return st.answering(x) <= closeBy
	}
	return st.crossed(x)
}

// answering is how long x has had, at least, from what we delivered to it last to what
// we see now.
func (st *step) answering(x *Endpoint) time.Duration { return min(st.now, st.t.after) - x.moved }

// sent takes a segment as proof about its sender.
func (st *step) sent(d Dir, s *Segment) {
	x := &st.c.ends[d]
	st.c.seen = st.now
	x.clear(probed | challenged)
	switch {
	case st.c.hasOldNumbers(d, s):
		return
	case s.has(wire.RST):
		st.sentReset(d, s)
		return
	case s.has(wire.SYN) && s.has(wire.ACK):
		st.sentSynAck(d, s)
	case s.has(wire.SYN):
		st.sentSyn(d, s)
	default:
		st.sentOther(d, s)
	}
	if !x.has(sentSyn) {
		return
	}
	st.paceOf(x, s)
	if end := s.End(); x.nxt.Less(end) {
		st.c.goesOn(d, seq.Range{From: x.nxt, To: end})
		x.nxt = end
		x.una = seq.Max(x.una, end-widest) // no window is wider: ACKs went by unseen
	}
	if !s.has(wire.ACK) {
		return
	}
	if !x.has(sentAck) && st.now-x.moved <= closeBy {
		x.set(near) // its first answer
	}
	x.advertise(s)
}

// goesOn: an endpoint sends numbers that it has not sent before. Those of the socket of an
// earlier incarnation add to that one's. Once they are those with which the incarnation
// before began, they are its own.
func (c *Conn) goesOn(d Dir, r seq.Range) {
	x, old := &c.ends[d], &c.old[d]
	switch {
	case x.has(prior):
		if old.Len() > 0 && old.To == r.From {
			old.To = r.To
		}
		return
	case r.Contains(old.From):
		*old = seq.Range{}
	}
	if x.iss.Size(r.To) < x.iss.Size(r.From) && c.laps[d] < math.MaxUint8 {
		c.laps[d]++
	}
}

// advertise notes what the segment tells the peer of x's window. The window
// of a SYN is never scaled (RFC 7323, section 2.2).
func (x *Endpoint) advertise(s *Segment) {
	first := x.wnd == widest || x.outOfMemory(s)
	x.acked, x.rawWnd, x.wnd = s.Ack, s.Window, uint32(s.Window)
	if x.has(scales) && !s.has(wire.SYN) {
		x.wnd <<= x.scale
	}
	if edge := s.Ack.Add(x.wnd); first || x.edge.Less(edge) {
		x.edge = edge // Linux does not take back what it offered (tcp_select_window)
	}
	if x.leap.To.LessEq(s.Ack) {
		x.leap = seq.Range{}
	}
	x.set(sentAck)
}

// sentReset: a RST means that there is no socket any more, unless it refuses one
// segment only.
func (st *step) sentReset(d Dir, s *Segment) {
	x := &st.c.ends[d]
	switch {
	case st.refuses(d, s):
		return
	case x.state == SynRcvd && !x.has(passive) && s.Seq == 0 && s.Ack == x.rcv && st.crossed(x):
		// Nobody's answer to the peer's SYN (RFC 9293, section 3.10.7.1): that came
		// just before x opened, and was not taken.
		x.clear(gotSyn)
		st.move(d, SynSent, Evidence)
		return
	}
	st.move(d, Closed, BySending)
}

// refuses tells whether a RST from an endpoint answers an unacceptable acknowledgment,
// whose number it carries, and leaves that as it is: so it does in SYN_SENT and
// SYN_RCVD (RFC 9293, section 3.10.7.3 and .4; tcp_check_req, tcp_rcv_state_process).
func (st *step) refuses(d Dir, s *Segment) bool {
	x := &st.c.ends[d]
	switch {
	case x.state == SynSent:
		return true
	case x.state == SynRcvd && !x.has(sentSyn): // or it has crossed the SYN
		return !s.has(wire.ACK) || s.Ack != x.acked
	case x.state == SynRcvd, // or the SYN-ACK, or the ACK of that
		x.state == Established && !x.has(sentAck),
		x.state.Synchronized() && x.has(sentSyn|passive) && x.nxt == x.iss.Add(1) && st.outdated(x):
		return !s.has(wire.ACK) && s.Seq != x.nxt
	}
	return false
}

// sentOther: no SYN, no RST. Whoever sends it has a socket.
func (st *step) sentOther(d Dir, s *Segment) {
	x := &st.c.ends[d]
	if !x.has(sentSyn) && !st.sentUnopened(d, s) {
		return
	}
	st.revive(d, s)
	if s.has(wire.ACK) {
		st.sentAck(d, s)
	}
	if s.has(wire.FIN) {
		st.sentFin(d, s)
	}
}

// revive corrects a state in which the endpoint could not have sent this. One that an
// ICMP error should have ended, and that answers what came after it, has not heard it.
func (st *step) revive(d Dir, s *Segment) {
	x := &st.c.ends[d]
	switch {
	case x.state == SynSent, x.state == Closed && x.has(doubted):
		x.clear(doubted)
		x.hasReceived(s.Ack)
		x.una = x.iss.Add(1)
		st.move(d, Established, Evidence)
	case x.state == SynRcvd && x.beyondRequest(s):
		x.una = x.iss.Add(1)
		st.move(d, Established, Evidence)
	case x.state == Closed && (s.Ack.Less(x.rcv) && x.outOfMemory(s) || !st.crossed(x)):
		// Without memory for what came before it, a RST was not exact.
		st.move(d, x.settle(), Evidence)
	}
}

// beyondRequest tells whether the segment shows that the ACK of x's SYN has
// arrived. A listener's request sends nothing and takes nothing else; a socket
// after a simultaneous open may send its FIN (RFC 9293, section 3.10.4), and one of
// Fast Open data too.
func (x *Endpoint) beyondRequest(s *Segment) bool {
	switch {
	case s.has(wire.ACK) && x.has(gotSyn) && x.rcv.Less(s.Ack):
		return true
	case x.fastOpened():
		return false
	}
	return s.Len > 0 || x.isRequest() && s.has(wire.FIN)
}

// sentAck holds the acknowledgment against what the model thinks x has received.
func (st *step) sentAck(d Dir, s *Segment) {
	x := &st.c.ends[d]
	switch {
	case !x.has(gotSyn):
		x.hasReceived(s.Ack)
	case x.rcv.Less(s.Ack):
		x.rcv = x.ooo.advance(s.Ack)
		if !x.has(heardFin) && st.c.coversFin(d, s.Ack) {
			x.finAt = st.c.finFor(d)
			x.set(heardFin)
		}
		switch {
		case x.facts&(heardFin|gotFin) != heardFin || x.rcv.LessEq(x.finAt):
		case x.finAt.Add(1).Less(s.Ack):
			x.clear(heardFin) // nothing follows a FIN: data has taken its place
		default:
			st.receivedFin(d, Evidence)
		}
	case s.Ack.Less(x.rcv) && (x.outOfMemory(s) || x.short(s) || !st.outdated(x)):
		x.rcv, x.ooo, x.leap = s.Ack, ranges{}, seq.Range{}
		if x.has(gotFin) {
			x.clear(gotFin | heardFin | pastFin)
			st.move(d, x.settle(), Evidence)
		}
	}
}

// short tells whether an acknowledgment ends within what x would have received at once, had
// it kept what came beyond the hole. So it has not: there was no room, or no memory.
func (x *Endpoint) short(s *Segment) bool {
	return x.leap.From.Less(s.Ack) && s.Ack.Less(x.leap.To) && x.leap.To.LessEq(x.rcv)
}

// outOfMemory tells whether x says that it has thrown away what was in its window:
// only then does Linux take back what it offered, all of it (ICSK_ACK_NOMEM in
// tcp_select_window).
func (x *Endpoint) outOfMemory(s *Segment) bool {
	return x.has(sentAck) && s.Window == 0 && x.acked.LessEq(s.Ack) && s.Ack.Less(x.edge)
}

// sentFin: x closes its direction.
func (st *step) sentFin(d Dir, s *Segment) {
	x := &st.c.ends[d]
	if x.has(sentFin) && x.fin == s.fin() {
		if x.fin.Less(x.una) && !st.outdated(x) {
			x.una = x.fin // it was not told, or did not believe it
			st.move(d, x.settle(), Evidence)
		}
		return
	}
	why := BySending
	if x.has(sentFin) {
		why = Evidence // another FIN: its first was not what it seemed
	} else if !x.has(prior) {
		st.c.closes(d, s)
	}
	x.fin = s.fin()
	x.set(sentFin)
	if x.fin.Less(x.una) {
		// What we took for its acknowledgment was none, and nothing follows a FIN.
		x.una, x.nxt, why = x.fin, s.End(), Evidence
	}
	if x.has(gotFin) && x.finAt.Less(s.Ack) {
		x.set(pastFin)
	}
	if x.state != Closed { // else a RST that we delivered has crossed it
		st.move(d, x.settle(), why)
	}
}

// closes notes the first FIN of an endpoint.
func (c *Conn) closes(d Dir, s *Segment) {
	switch {
	case c.closers == 0:
		c.closer = d
	case !c.coversFin(d, s.Ack):
		c.simClose = true
	}
	c.closers++
}

// settle is the state that follows from which FINs x has sent, got and had
// acknowledged.
func (x *Endpoint) settle() State {
	acked := x.has(sentFin) && x.fin.Less(x.una)
	switch {
	case !x.has(sentFin) && !x.has(gotFin):
		return Established
	case !x.has(sentFin):
		return CloseWait
	case !x.has(gotFin) && !acked:
		return FinWait1
	case !x.has(gotFin):
		return FinWait2
	case x.has(pastFin) && !acked:
		return LastAck
	case x.has(pastFin):
		return Closed
	case !acked:
		return Closing
	}
	return TimeWait
}

// paceOf measures the intervals at which x repeats what is unacknowledged: an
// endpoint must retransmit, at most at twice the last interval (RFC 6298,
// section 5.5), and one that does not is gone. Window probes count too.
func (st *step) paceOf(x *Endpoint, s *Segment) {
	probe := s.Seq.Add(1) == x.una && x.una != x.nxt
	if !probe && (x.una.Less(s.Seq) || s.End().LessEq(x.una)) {
		return
	}
	if x.resent > 0 && s.Seq.Less(x.nxt) {
		x.gap = max(x.gap, microsOf(st.now-x.resent), 1)
		st.schedule(x.silentAt())
	}
	x.resent = max(st.now, 1)
}
