package conntrack

import (
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// delivered hands a segment that travels in direction d to the model of its
// receiver, in the order in which Linux judges it.
func (st *step) delivered(d Dir, s *Segment) {
	r := d.Peer()
	x := &st.c.ends[r]
	if s.HasTS && (!x.has(hasTS) || int32(s.TSVal-x.newest) > 0) {
		x.newest = s.TSVal
	}
	switch {
	case x.state == Closed:
		st.closedGets(r, s)
	case x.state == SynSent:
		st.synSentGets(r, s)
	case x.isRequest():
		st.requestGets(r, s)
	case x.state == TimeWait:
		st.timeWaitGets(r, s)
	default:
		st.socketGets(r, s)
	}
	st.c.seeScale(r, s)
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
	*x = Endpoint{state: x.state, facts: passive, moved: st.now, resent: x.moved}
	x.gotSynOf(s)
	if s.HasScale {
		x.set(askedScale)
	}
	if s.SACK {
		x.set(askedSACK)
	}
	x.acked = s.End() // what a refusal would acknowledge, until it is taken: data of the SYN, too
	st.move(r, SynRcvd, ByDelivery)
}

// gotSynOf notes the peer's SYN.
func (x *Endpoint) gotSynOf(s *Segment) {
	x.irs, x.rcv = s.Seq, s.Seq.Add(1)
	x.peerWnd, x.maxWnd = uint32(s.Window), uint32(s.Window)
	x.acked, x.edge = x.rcv, x.rcv.Add(x.wnd)
	x.set(gotSyn)
	if s.HasTS {
		x.tsRecent, x.newest = s.TSVal, s.TSVal
		x.set(hasTS)
	}
}

// synSentGets follows tcp_rcv_synsent_state_process.
func (st *step) synSentGets(r Dir, s *Segment) {
	x := &st.c.ends[r]
	if s.has(wire.ACK) && (!seq.InRange(s.Ack, x.iss.Add(1), x.nxt.Add(1)) || x.oldEcho(s)) {
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
		x.gap, x.resent = 0, 0
		st.move(r, Established, ByDelivery)
	default: // simultaneous open, or the second half of a split handshake
		x.gotSynOf(s)
		x.cross(s)
		x.gap, x.resent = 0, 0 // the SYN-ACK repeats no SYN
		st.move(r, SynRcvd, ByDelivery)
	}
}

// oldEcho tells whether an endpoint that opens refuses a segment for its TSecr, which
// is from before its first SYN. It refuses one from the future too, but only its own
// clock knows that.
func (x *Endpoint) oldEcho(s *Segment) bool {
	return x.has(offersTS) && !x.has(hasTS) && s.HasTS && s.TSEcr != 0 && int32(s.TSEcr-x.tsRecent) < 0
}

// meetFin notes the number of a FIN that was delivered, whatever x makes of it.
func (x *Endpoint) meetFin(s *Segment) {
	if s.has(wire.FIN) && !x.has(heardFin) && x.rcv.LessEq(s.fin()) {
		x.finAt = s.fin()
		x.set(metFin)
	}
}

// wrongEcho tells whether a request refuses a segment for its TSecr, which is that of
// none of its SYN-ACKs (tcp_check_req, since Linux 6.14): that of its challenge ACK, for
// one, until it sends the next SYN-ACK.
func (st *step) wrongEcho(x *Endpoint, s *Segment) bool {
	first, last := st.c.synAckTS[0], st.c.synAckTS[1]
	return x.has(offersTS) && s.HasTS && s.TSEcr != 0 && s.TSEcr-first > last-first
}

// isRequest tells whether x is what a listener keeps of a SYN until that is acknowledged.
func (x *Endpoint) isRequest() bool { return x.state == SynRcvd && x.has(passive) && x.una == x.iss }

// requestGets follows tcp_check_req: the request of a listener is no socket
// yet, and some segments end it that a socket would survive.
func (st *step) requestGets(r Dir, s *Segment) {
	x := &st.c.ends[r]
	again := s.Seq == x.irs && s.Flags&(wire.SYN|wire.ACK|wire.RST) == wire.SYN
	switch {
	case again && !x.tooOld(s, 0):
		// answered by another SYN-ACK
	case s.has(wire.ACK) && (!x.has(sentSyn) || s.Ack != x.iss.Add(1)) && !s.has(wire.RST) && !x.fastOpened():
		// answered by RST
	case x.tooOld(s, 0) || st.wrongEcho(x, s) || !x.inRequestWindow(s):
		if !s.has(wire.RST) {
			x.set(challenged)
		}
	case s.has(wire.RST) && s.Seq != x.rcv:
		x.set(challenged)
	case s.has(wire.RST), s.has(wire.SYN) && s.Seq != x.irs:
		st.move(r, Closed, ByDelivery)
	case s.has(wire.SYN):
		x.una = s.Ack // it becomes a socket, but that refuses the segment and waits on
		st.socketGets(r, s)
	case x.fastOpened():
		st.socketGets(r, s)
	case s.has(wire.ACK):
		st.becomeSocket(r, s)
	}
}

// fastOpened tells whether a listener has taken data with the SYN: then there is a
// socket already, in SYN_RCVD (RFC 7413, section 4.2.2).
func (x *Endpoint) fastOpened() bool {
	return x.has(passive|sentSyn|gotSyn) && x.irs.Add(1).Less(x.rcv)
}

// becomeSocket: the request is acknowledged, and its socket gets the segment.
func (st *step) becomeSocket(r Dir, s *Segment) {
	x := &st.c.ends[r]
	x.una = s.Ack
	x.gap, x.resent = 0, 0
	st.move(r, Established, ByDelivery)
	st.socketGets(r, s)
}

// inRequestWindow is tcp_in_window, by which requests judge: unlike tcp_sequence
// it wants something of the segment at or above RCV.NXT.
func (x *Endpoint) inRequestWindow(s *Segment) bool {
	end, edge := s.End(), x.rcv.Add(x.Window())
	switch {
	case s.Seq == x.rcv:
		return true
	case x.rcv.Less(end) && s.Seq.Less(edge):
		return true
	}
	return s.Seq == edge && s.Seq == end
}

// timeWaitGets follows tcp_timewait_state_process.
func (st *step) timeWaitGets(r Dir, s *Segment) {
	x := &st.c.ends[r]
	old := x.tooOld(s, 0)
	switch {
	case s.has(wire.RST):
		if s.Seq == x.rcv && !old && !st.stack(r).RFC1337 {
			st.move(r, Closed, ByDelivery)
		}
	case !old && s.has(wire.SYN) && !s.has(wire.ACK) && x.isNewer(s):
		if s.has(wire.FIN) {
			st.move(r, Closed, ByDelivery) // the listener that gets it now drops it
			return
		}
		if !x.has(prior) {
			st.c.old[r] = seq.Range{From: x.iss, To: x.nxt} // nobody has opened: the SYN is a forged one
		}
		st.request(r, s)
		x.set(waited)
	default:
		if s.has(wire.SYN) {
			x.set(challenged)
		}
		if old || s.has(wire.ACK) {
			st.enterTimeWait(r) // it begins its wait again
		}
		if s.bare() && s.Seq == x.rcv {
			x.takeTimestamp(s)
		}
	}
}

// isNewer tells whether a SYN is beyond what TIME_WAIT has to guard: by its
// number, or by its timestamp (RFC 6191).
func (x *Endpoint) isNewer(s *Segment) bool {
	return x.rcv.Less(s.Seq) || x.stamped(s) && int32(x.tsRecent-s.TSVal) < 0
}

// socketGets follows tcp_rcv_state_process with tcp_validate_incoming first.
func (st *step) socketGets(r Dir, s *Segment) {
	x := &st.c.ends[r]
	x.meetFin(s)
	if !st.validate(r, s) {
		return
	}
	if !st.acknowledged(r, s) {
		return
	}
	switch {
	case x.state == Closed, x.state == TimeWait:
		// TIME_WAIT begins with this ACK; a FIN in it is in its past.
	case !x.has(gotFin):
		st.queue(r, s)
	case s.Seq.Less(x.rcv) && x.rcv.Less(s.Seq.Add(s.Len)):
		st.move(r, Closed, ByDelivery) // data where the peer had ended: answered by RST
	case s.Seq.Less(x.rcv) && x.rcv.Less(s.End()):
		x.rcv = s.End() // another FIN, just behind the first: Linux counts it
	}
}
