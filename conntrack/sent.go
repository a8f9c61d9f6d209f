package conntrack

import (
	"time"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// crossing is how long a segment may have been under way to us while a
// delivery changed its sender: within this time after a delivery, an older
// acknowledgment is no contradiction, the two have crossed.
const crossing = 100 * time.Millisecond

// A Cause says what an inferred state rests on.
type Cause uint8

// The causes of a change of state.
const (
	BySending  Cause = iota // the endpoint sent the segment that means it
	ByDelivery              // the model of the receiver followed from a delivery
	ByTimer                 // a timer of the endpoint must have run out
	Evidence                // the wire contradicted the inference: a desync
)

// String is the cause as events write it.
func (c Cause) String() string {
	return [...]string{"sent", "delivered", "timer", "evidence"}[c]
}

// A step is one look at a connection: the table, the connection, the time.
type step struct {
	t   *Table
	c   *Conn
	now time.Duration
}

// move changes the state of an endpoint and reports it.
func (st *step) move(d Dir, to State, why Cause) {
	x := &st.c.ends[d]
	if x.state == to {
		return
	}
	from := x.state
	x.state = to
	if why == ByDelivery {
		x.moved = st.now
	}
	if to == TimeWait {
		st.enterTimeWait(d)
	}
	st.t.changed(st, d, from, to, why)
}

// sent takes a segment as proof about its sender.
func (st *step) sent(d Dir, s *Segment) {
	x := &st.c.ends[d]
	st.c.seen = st.now
	x.clear(probed | challenged)
	switch {
	case s.has(wire.RST):
		st.sentReset(d, s)
		return
	case s.has(wire.SYN) && s.has(wire.ACK):
		st.sentSynAck(d, s)
	case s.has(wire.SYN):
		st.sentSyn(d, s)
	case x.has(prior):
		// The old incarnation's socket: its numbers say nothing of this one.
	default:
		st.sentOther(d, s)
	}
	st.paceOf(x, s)
	if end := s.End(); x.nxt.Less(end) {
		x.nxt = end
	}
	if s.has(wire.ACK) {
		x.advertise(s)
	}
}

// advertise notes what the segment tells the peer of x's window. The window
// of a SYN is never scaled (RFC 7323, section 2.2).
func (x *Endpoint) advertise(s *Segment) {
	x.acked, x.rawWnd, x.wnd = s.Ack, s.Window, uint32(s.Window)
	if x.has(scales) && !s.has(wire.SYN) {
		x.wnd <<= x.scale
	}
	if edge := s.Ack.Add(x.wnd); !x.has(sentAck) || x.edge.Less(edge) {
		x.edge = edge
	}
	x.set(sentAck)
}

// sentReset: a RST means that there is no socket any more, with two
// exceptions (RFC 9293, section 3.10.7.3 and .4): in SYN_SENT it refuses an
// unacceptable acknowledgment, and so does the listener for a request in
// SYN_RCVD, where the RST carries that wrong number.
func (st *step) sentReset(d Dir, s *Segment) {
	x := &st.c.ends[d]
	switch {
	case x.state == SynSent:
		return
	case x.state == SynRcvd && x.has(passive|sentSyn) && !s.has(wire.ACK) && s.Seq != x.nxt:
		return
	}
	st.move(d, Closed, BySending)
}

// sentSyn: an active open. A bare SYN from an endpoint to which we have
// delivered one already has crossed it, and both opens are active.
func (st *step) sentSyn(d Dir, s *Segment) {
	x := &st.c.ends[d]
	x.offer(s)
	if x.has(sentSyn) && x.iss == s.Seq {
		return
	}
	x.start(s)
	if x.state == SynRcvd {
		x.clear(passive)
		return
	}
	st.move(d, SynSent, BySending)
}

// sentSynAck: the sender has received a SYN and answers it.
func (st *step) sentSynAck(d Dir, s *Segment) {
	x := &st.c.ends[d]
	if x.has(sentSyn) && !x.has(prior) && x.iss == s.Seq {
		st.sentSynAckAgain(d, s)
		return
	}
	if x.has(prior) || x.state != SynRcvd {
		*x = Endpoint{state: x.state, facts: passive} // in place of whatever was there
	}
	x.start(s)
	x.answer(s)
	st.move(d, SynRcvd, BySending)
}

// sentSynAckAgain: a listener that repeats its SYN-ACK has not taken the ACK
// that we delivered (its accept queue is full, or it waits for data).
func (st *step) sentSynAckAgain(d Dir, s *Segment) {
	x := &st.c.ends[d]
	switch {
	case x.state == SynSent: // both opens are active
		x.answer(s)
		st.move(d, SynRcvd, BySending)
	case x.state != SynRcvd && x.has(passive) && x.nxt == x.iss.Add(1) && st.now-x.moved > crossing:
		x.una, x.rcv = x.iss, s.Ack
		x.clear(gotFin | heardFin)
		st.move(d, SynRcvd, Evidence)
	}
}

// answer notes what a SYN-ACK says of the SYN that it answers.
func (x *Endpoint) answer(s *Segment) {
	x.offer(s)
	x.agree(s)
	if !x.has(gotSyn) {
		x.irs, x.rcv = s.Ack.Add(minusOne), s.Ack
		x.set(gotSyn)
	}
}

// sentOther: no SYN, no RST. Whoever sends it has a socket.
func (st *step) sentOther(d Dir, s *Segment) {
	x := &st.c.ends[d]
	if !st.c.ends[d].has(sentSyn) {
		st.c.ends[d].pickUp(s)
	}
	st.revive(d, s)
	if s.has(wire.ACK) {
		st.sentAck(d, s)
	}
	if s.has(wire.FIN) {
		st.sentFin(d, s)
	}
	if x.state == SynRcvd && (s.Len > 0 || s.has(wire.FIN)) {
		x.una = x.iss.Add(1)
		st.move(d, Established, Evidence)
	}
}

// revive corrects a state in which the endpoint could not have sent this.
func (st *step) revive(d Dir, s *Segment) {
	x := &st.c.ends[d]
	switch {
	case x.state == SynSent:
		x.irs, x.rcv, x.una = s.Ack.Add(minusOne), s.Ack, x.iss.Add(1)
		x.set(gotSyn)
		st.move(d, Established, Evidence)
	case x.state == Closed && st.now-x.moved > crossing:
		st.move(d, x.settle(), Evidence)
	}
}

// sentAck holds the acknowledgment against what the model thinks x has received.
func (st *step) sentAck(d Dir, s *Segment) {
	x, y := &st.c.ends[d], &st.c.ends[d.Peer()]
	switch {
	case !x.has(gotSyn):
		x.irs, x.rcv = s.Ack.Add(minusOne), s.Ack
		x.set(gotSyn)
	case x.rcv.Less(s.Ack):
		x.rcv = x.ooo.advance(s.Ack)
		if !x.has(gotFin) && y.has(sentFin) && !y.has(prior) && y.fin.Less(s.Ack) {
			x.finAt = y.fin
			x.set(heardFin)
			st.receivedFin(d, Evidence)
		}
	case s.Ack.Less(x.rcv) && st.now-x.moved > crossing:
		x.rcv = s.Ack
		if x.has(gotFin) && s.Ack.LessEq(x.finAt) {
			x.clear(gotFin | heardFin | pastFin)
			st.move(d, x.settle(), Evidence)
		}
	}
}

// sentFin: x closes its direction.
func (st *step) sentFin(d Dir, s *Segment) {
	c, x := st.c, &st.c.ends[d]
	if x.has(sentFin) && x.fin == s.fin() {
		if x.fin.Less(x.una) && st.now-x.moved > crossing {
			x.una = x.fin // it was not told, or did not believe it
			st.move(d, x.settle(), Evidence)
		}
		return
	}
	x.fin = s.fin()
	x.set(sentFin)
	y := &c.ends[d.Peer()]
	if c.closers == 0 {
		c.closer = d
	} else if c.closer != d && s.Ack.LessEq(y.fin) {
		c.simClose = true
	}
	if c.closers < 2 {
		c.closers++
	}
	if x.has(gotFin) && x.finAt.Less(s.Ack) {
		x.set(pastFin)
	}
	st.move(d, x.settle(), BySending)
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

// start begins x's sequence space at the number of its SYN.
func (x *Endpoint) start(s *Segment) {
	x.iss, x.una, x.nxt = s.Seq, s.Seq, s.Seq.Add(1)
	x.rawWnd, x.wnd = s.Window, uint32(s.Window)
	x.gap, x.resent = 0, 0
	x.clear(prior | sentFin)
	x.set(sentSyn)
}

// offer notes the options of x's own SYN.
func (x *Endpoint) offer(s *Segment) {
	x.scale = s.Scale
	x.facts &^= offersScale | offersTS
	if s.HasScale {
		x.set(offersScale)
	}
	if s.HasTS {
		x.set(offersTS)
	}
}

// agree takes into use what x offered and the peer's SYN, or x's own SYN-ACK,
// carries as well (RFC 7323, sections 1.3 and 2.2).
func (x *Endpoint) agree(s *Segment) {
	x.facts &^= scales | timestamps
	if x.has(offersScale) && s.HasScale {
		x.set(scales)
	}
	if x.has(offersTS) && s.HasTS {
		x.set(timestamps)
	}
}

// maxScale is the largest window shift (RFC 7323, section 2.3).
const maxScale = 14

// pickUp begins x in the middle of a connection. Its scaling is unknown; the
// largest shift makes the window that we think it accepts too wide, not too narrow.
func (x *Endpoint) pickUp(s *Segment) {
	x.iss, x.una, x.nxt = s.Seq.Add(minusOne), s.Seq, s.Seq
	x.scale = maxScale
	x.set(sentSyn | scales)
	if s.HasTS {
		x.set(timestamps)
	}
}

// paceOf measures the intervals at which x repeats what is unacknowledged: an
// endpoint must retransmit, at most at twice the last interval (RFC 6298,
// section 5.5), and one that does not is gone. Window probes count too.
func (st *step) paceOf(x *Endpoint, s *Segment) {
	if s.Seq.Add(1) != x.una && (x.una.Less(s.Seq) || s.End().LessEq(x.una)) {
		return
	}
	if x.resent > 0 && s.Seq.Less(x.nxt) {
		x.gap = max(x.gap, st.now-x.resent)
		st.schedule(x.silentAt())
	}
	x.resent = max(st.now, 1)
}
