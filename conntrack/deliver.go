package conntrack

import (
	"time"

	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// delivered hands a segment that travels in direction d to the model of its
// receiver, in the order in which Linux judges it.
func (st *step) delivered(d Dir, s *Segment) {
	r := d.Peer()
	x := &st.c.ends[r]
	switch {
	case x.state == Closed:
		st.closedGets(r, s)
	case x.state == SynSent:
		st.synSentGets(r, s)
	case x.state == SynRcvd && x.has(passive):
		st.requestGets(r, s)
	case x.state == TimeWait:
		st.timeWaitGets(r, s)
	default:
		st.socketGets(r, s)
	}
}

// closedGets: only a SYN means something to an endpoint without a socket. That
// nobody listens is seen from the RST it answers.
func (st *step) closedGets(r Dir, s *Segment) {
	if s.has(wire.SYN) && !s.has(wire.ACK|wire.RST|wire.FIN) {
		st.request(r, s)
	}
}

// request makes a listener's request of a delivered SYN.
func (st *step) request(r Dir, s *Segment) {
	x := &st.c.ends[r]
	*x = Endpoint{state: x.state, facts: passive, moved: st.now}
	x.gotSynOf(s)
	st.move(r, SynRcvd, ByDelivery)
}

// gotSynOf notes the peer's SYN.
func (x *Endpoint) gotSynOf(s *Segment) {
	x.irs, x.rcv = s.Seq, s.Seq.Add(1)
	x.peerWnd, x.maxWnd = uint32(s.Window), uint32(s.Window)
	x.acked, x.edge = x.rcv, x.rcv.Add(x.wnd)
	x.set(gotSyn)
	if s.HasTS {
		x.tsRecent = s.TSVal
		x.set(hasTS)
	}
}

// synSentGets follows tcp_rcv_synsent_state_process.
func (st *step) synSentGets(r Dir, s *Segment) {
	x := &st.c.ends[r]
	if s.has(wire.ACK) && !seq.InRange(s.Ack, x.iss.Add(1), x.nxt.Add(1)) {
		return // it answers RST and stays
	}
	switch {
	case s.has(wire.RST):
		if s.has(wire.ACK) {
			st.move(r, Closed, ByDelivery)
		}
	case !s.has(wire.SYN):
		// An acceptable ACK without SYN is passed over in silence.
	case s.has(wire.ACK):
		x.gotSynOf(s)
		x.agree(s)
		x.una = s.Ack
		st.move(r, Established, ByDelivery)
	default: // simultaneous open, or the second half of a split handshake
		x.gotSynOf(s)
		x.agree(s)
		st.move(r, SynRcvd, ByDelivery)
	}
}

// requestGets follows tcp_check_req: the request of a listener is no socket
// yet, and some segments end it that a socket would survive.
func (st *step) requestGets(r Dir, s *Segment) {
	x := &st.c.ends[r]
	again := s.Seq == x.irs && s.Flags&(wire.SYN|wire.ACK|wire.RST) == wire.SYN
	switch {
	case again || !x.has(sentSyn):
		return
	case s.has(wire.ACK) && !s.has(wire.RST) && s.Ack != x.iss.Add(1):
		return // answered by RST
	case x.tooOld(s) || !x.inWindow(s):
		x.expectChallenge(s)
		return
	case s.has(wire.RST):
		if s.Seq == x.rcv {
			st.move(r, Closed, ByDelivery)
		} else {
			x.set(challenged)
		}
		return
	case s.has(wire.SYN) && s.Seq != x.irs:
		st.move(r, Closed, ByDelivery)
		return
	case !s.has(wire.ACK):
		return
	}
	x.una = s.Ack
	x.moved = st.now
	st.move(r, Established, ByDelivery)
	st.socketGets(r, s)
}

// timeWaitGets follows tcp_timewait_state_process.
func (st *step) timeWaitGets(r Dir, s *Segment) {
	x := &st.c.ends[r]
	old := x.tooOld(s)
	newer := x.rcv.Less(s.Seq) || x.has(hasTS) && s.HasTS && int32(x.tsRecent-s.TSVal) < 0
	switch {
	case !old && s.has(wire.RST):
		if s.Seq == x.rcv && !st.stack(r).RFC1337 {
			st.move(r, Closed, ByDelivery)
		}
	case s.has(wire.RST):
	case !old && s.has(wire.SYN) && !s.has(wire.ACK) && newer:
		if !s.has(wire.FIN) {
			st.request(r, s)
		}
	case old || s.has(wire.ACK):
		if s.has(wire.SYN) {
			x.set(challenged)
		}
		st.enterTimeWait(r) // it answers, and begins its wait again
	}
}

// socketGets follows tcp_rcv_state_process with tcp_validate_incoming first.
func (st *step) socketGets(r Dir, s *Segment) {
	x := &st.c.ends[r]
	if !st.validate(r, s) {
		return
	}
	if !st.acknowledged(r, s) {
		return
	}
	if x.state == Closed || x.state == TimeWait {
		return // TIME_WAIT begins with this ACK; a FIN in it is in its past
	}
	st.queue(r, s)
	x.takeTimestamp(s)
}

// validate is tcp_validate_incoming: PAWS, the window, RST and SYN, in this order.
func (st *step) validate(r Dir, s *Segment) bool {
	x := &st.c.ends[r]
	if x.tooOld(s) && !s.has(wire.RST) {
		x.set(challenged)
		return false
	}
	if !x.inWindow(s) {
		switch {
		case !s.has(wire.RST):
			x.expectChallenge(s)
		case x.resetsAfterFin(s):
			st.move(r, Closed, ByDelivery)
		}
		return false
	}
	if s.has(wire.RST) {
		edge, holed := x.ooo.highest()
		if s.Seq == x.rcv || holed && s.Seq == edge || x.resetsAfterFin(s) {
			st.move(r, Closed, ByDelivery)
		} else {
			x.set(challenged)
		}
		return false
	}
	if s.has(wire.SYN) {
		crossing := x.state == SynRcvd && s.has(wire.ACK) && s.Seq == x.irs && s.Ack == x.nxt
		if !crossing {
			x.set(challenged)
			return false
		}
	}
	return s.has(wire.ACK)
}

// resetsAfterFin: after the peer's FIN, Linux also takes a RST that does not
// count the FIN (tcp_reset_check).
func (x *Endpoint) resetsAfterFin(s *Segment) bool {
	after := x.state == CloseWait || x.state == LastAck || x.state == Closing
	return after && s.Seq.Add(1) == x.rcv
}

// tooOld is PAWS (RFC 7323, section 5.3) with Linux's window of one tick. A
// segment without timestamps is not judged, even if they were negotiated.
func (x *Endpoint) tooOld(s *Segment) bool {
	return x.has(hasTS) && s.HasTS && int32(x.tsRecent-s.TSVal) > 1
}

// inWindow is tcp_sequence: the segment ends at or after what was last
// acknowledged, and begins within the window.
func (x *Endpoint) inWindow(s *Segment) bool {
	left := x.rcv
	if x.has(sentAck) && x.acked.Less(left) {
		left = x.acked
	}
	return left.LessEq(s.End()) && s.Seq.LessEq(x.rcv.Add(x.Window()))
}

// expectChallenge notes that x will answer an unacceptable segment: with the
// answer to a keepalive, if it is one; with an ACK that is the field's
// "challenge", unless it is the everyday retransmission of what x has.
func (x *Endpoint) expectChallenge(s *Segment) {
	switch {
	case s.Seq.Add(1) == x.rcv && s.Len <= 1 && !s.has(wire.SYN|wire.FIN):
		x.set(probed)
	case s.has(wire.SYN) || x.rcv.Less(s.Seq) || s.End().Add(x.maxWnd).Less(x.rcv):
		x.set(challenged)
	}
}

// acknowledged is tcp_ack. It tells whether the rest of the segment counts.
func (st *step) acknowledged(r Dir, s *Segment) bool {
	x := &st.c.ends[r]
	switch {
	case x.nxt.Less(s.Ack):
		x.set(challenged)
		return false
	case s.Ack.Add(x.maxWnd).Less(x.una):
		x.set(challenged)
		return false
	case x.state == SynRcvd && s.Ack.LessEq(x.iss):
		return false // answered by RST
	}
	x.peerWindow(st.c.ends[r.Peer()].scale, s)
	if x.una.Less(s.Ack) {
		x.una = s.Ack
		x.moved, x.gap, x.resent = st.now, 0, st.now
	}
	switch {
	case x.state == SynRcvd:
		st.move(r, Established, ByDelivery)
	case !x.has(sentFin) || s.Ack.LessEq(x.fin):
	case x.state == FinWait1:
		st.move(r, FinWait2, ByDelivery)
	case x.state == Closing:
		st.move(r, TimeWait, ByDelivery)
	case x.state == LastAck:
		st.move(r, Closed, ByDelivery)
	}
	return true
}

// peerWindow notes the window that x is offered.
func (x *Endpoint) peerWindow(shift uint8, s *Segment) {
	x.peerWnd = uint32(s.Window)
	if x.has(scales) && !s.has(wire.SYN) {
		x.peerWnd <<= shift
	}
	x.maxWnd = max(x.maxWnd, x.peerWnd)
}

// queue is tcp_data_queue: what lies in the window is kept, what closes the
// hole is received, and so is a FIN once nothing is missing before it.
func (st *step) queue(r Dir, s *Segment) {
	x := &st.c.ends[r]
	if x.has(gotFin) || s.Len == 0 && !s.has(wire.FIN) {
		return
	}
	data := seq.Range{From: s.Seq, To: s.Seq.Add(s.Len)}
	if s.has(wire.SYN) {
		data.From, data.To = data.From.Add(1), data.To.Add(1)
	}
	if s.has(wire.FIN) && x.rcv.LessEq(data.To) {
		x.finAt = data.To
		x.set(heardFin)
	}
	if data.From.Less(x.rcv) {
		data.From = x.rcv
	}
	before := x.rcv
	switch {
	case data.From == x.rcv && data.From.Less(data.To):
		x.rcv = x.ooo.advance(data.To)
	case data.From.Less(data.To) && !x.ooo.add(data):
		x.set(blind)
	}
	if x.rcv != before {
		x.moved = st.now
	}
	if x.has(heardFin) && x.rcv == x.finAt {
		st.receivedFin(r, ByDelivery)
	}
}

// receivedFin: the peer's FIN is in order.
func (st *step) receivedFin(r Dir, why Cause) {
	x := &st.c.ends[r]
	if x.rcv == x.finAt {
		x.rcv = x.finAt.Add(1)
	}
	x.moved = st.now
	x.set(gotFin)
	switch x.state {
	case Established, SynRcvd:
		st.move(r, CloseWait, why)
	case FinWait1:
		st.move(r, Closing, why)
	case FinWait2:
		st.move(r, TimeWait, why)
	}
}

// takeTimestamp is tcp_replace_ts_recent: only a segment that reaches what was
// last acknowledged may renew TS.Recent (RFC 7323, section 4.3).
func (x *Endpoint) takeTimestamp(s *Segment) {
	if s.HasTS && s.Seq.LessEq(x.acked) && (!x.has(hasTS) || int32(s.TSVal-x.tsRecent) >= 0) {
		x.tsRecent = s.TSVal
		x.set(hasTS)
	}
}

// A Stack is what may differ between the hosts of the endpoints. The zero
// Stack is Linux as it comes.
type Stack struct {
	// RFC1337 is net.ipv4.tcp_rfc1337: a RST does not end TIME_WAIT.
	RFC1337 bool
	// NoTimeWait is net.ipv4.tcp_max_tw_buckets = 0: what would be TIME_WAIT is CLOSED.
	NoTimeWait bool
}

// timeWait is the length of TIME_WAIT in Linux (TCP_TIMEWAIT_LEN); measured,
// it ends up to 3.5 % later.
const timeWait = 61 * time.Second
