package conntrack

import (
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// sentSyn: an active open. A bare SYN from an endpoint to which we have
// delivered one already has crossed it, and both opens are active.
func (st *step) sentSyn(d Dir, s *Segment) {
	x := &st.c.ends[d]
	again := x.has(sentSyn) && x.iss == s.Seq
	crossed := x.state == SynRcvd && !x.has(sentSyn) && st.crossed(x)
	why := BySending
	switch {
	case again && x.state == SynSent:
		x.clear(prior) // it opened towards the incarnation before, and meets this one
	case again, crossed:
	default:
		if x.state != Closed && x.state != TimeWait {
			why = Evidence // the socket that we thought was there is not
		}
		*x = Endpoint{state: x.state}
	}
	x.offer(s)
	switch {
	case again && x.state == Closed && !x.has(gotSyn) && !st.crossed(x):
		x.clear(doubted)
		st.move(d, SynSent, Evidence) // thought to have given up
	case again:
	case crossed:
		x.start(s)
		x.clear(passive)
		x.cross(&Segment{HasTS: x.has(hasTS), HasScale: x.has(askedScale), SACK: x.has(askedSACK)})
	default:
		x.start(s)
		x.tsRecent = s.TSVal
		st.move(d, SynSent, why)
	}
}

// sentSynAck: the sender has received a SYN and answers it.
func (st *step) sentSynAck(d Dir, s *Segment) {
	x := &st.c.ends[d]
	if x.has(sentSyn) && x.iss == s.Seq {
		st.sentSynAckAgain(d, s)
		return
	}
	dead := x.state == Closed && x.has(gotSyn) && x.rcv == s.Ack && st.crossed(x)
	why := BySending
	if x.state != Closed && x.state != SynRcvd {
		why = Evidence
	}
	if x.has(prior) || x.state != SynRcvd {
		*x = Endpoint{state: x.state, facts: passive, moved: x.moved} // in place of whatever was there
	}
	x.start(s)
	x.answer(s)
	if x.has(passive) {
		st.c.synAckTS = [2]uint32{s.TSVal, s.TSVal}
	}
	if !dead { // else the RST that we delivered has crossed it
		st.move(d, SynRcvd, why)
	}
}

// sentSynAckAgain: a listener that repeats its SYN-ACK has not taken the ACK
// that we delivered (its accept queue is full, or it waits for data).
func (st *step) sentSynAckAgain(d Dir, s *Segment) {
	x := &st.c.ends[d]
	if x.has(passive) {
		st.c.synAckTS[1] = s.TSVal
	}
	switch {
	case x.has(prior):
		// The old incarnation's listener still waits for its ACK.
	case x.state == SynSent: // both opens are active
		x.answer(s)
		st.move(d, SynRcvd, BySending)
	case x.state == SynRcvd && !x.has(passive) && s.Ack != x.rcv:
		x.hasReceived(s.Ack) // another SYN than the one we delivered last
	case x.state != SynRcvd && x.has(passive) && x.nxt == x.iss.Add(1) && !st.crossed(x):
		x.una, x.rcv, x.ooo = x.iss, s.Ack, ranges{}
		x.clear(gotFin | heardFin)
		st.move(d, SynRcvd, Evidence)
	}
}

// answer notes what a SYN-ACK says of the SYN that it answers.
func (x *Endpoint) answer(s *Segment) {
	x.offer(s)
	x.agree(s)
	switch {
	case !x.has(gotSyn), s.Ack.Less(x.rcv): // another SYN than the one we delivered last
		x.hasReceived(s.Ack)
	case x.rcv.Less(s.Ack):
		x.rcv = x.ooo.advance(s.Ack) // with the data of a SYN (RFC 7413)
	}
}

// hasReceived begins what x has received with its own word for it.
func (x *Endpoint) hasReceived(ack seq.Num) {
	x.irs, x.rcv, x.acked, x.edge, x.ooo = ack.Add(minusOne), ack, ack, ack, ranges{}
	x.set(gotSyn)
}

// sentUnopened: an endpoint that has not sent a SYN on this connection sends
// something else. It tells whether x has numbers now.
func (st *step) sentUnopened(d Dir, s *Segment) bool {
	x := &st.c.ends[d]
	wait := st.c.old[d]
	switch {
	case x.has(waited) && s.Seq == wait.To:
		// TIME_WAIT would have taken the SYN, but nobody listens: it answers
		// with its old numbers and stays (tcp_v4_rcv, TCP_TW_SYN). What has ended the
		// request that we took it for meant nothing to it.
		*x = Endpoint{facts: prior | gotFin | pastFin, state: x.state}
		x.pickUp(s)
		if x.tsRecent, x.newest = s.TSEcr, s.TSEcr; s.HasTS {
			x.set(hasTS) // it echoes what it has taken
		}
		st.move(d, TimeWait, Evidence)
	case wait.Contains(s.Seq.Add(minusOne)) && st.lastWords(x):
		return false
	case st.c.foreign(d, s):
		*x = Endpoint{facts: prior, state: x.state}
		x.pickUp(s)
		st.move(d, Established, Evidence)
	case x.state == SynRcvd && s.bare() && s.Ack == x.rcv:
		return false // the ACK before the SYN of a split handshake
	default:
		x.pickUp(s)
		st.move(d, Established, Evidence)
	}
	return true
}

// lastWords tells whether a segment with the numbers of the incarnation before has
// crossed the RST that ended it.
func (st *step) lastWords(x *Endpoint) bool {
	switch x.state {
	case Closed:
		return st.crossed(x)
	case SynRcvd:
		return x.resent > 0 && min(st.now, st.t.after)-x.resent <= crossing
	}
	return false
}

// foreign tells whether a segment sent to an endpoint that is opening speaks of another
// incarnation: it acknowledges what has not been sent in this one.
func (c *Conn) foreign(d Dir, s *Segment) bool {
	y := &c.ends[d.Peer()]
	seen := s.Ack.Add(-c.shift[d.Peer()])
	return y.state == SynSent && s.has(wire.ACK) && !seq.InRange(seen, y.iss.Add(1), y.nxt.Add(1))
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
	x.scale = min(s.Scale, maxScale)
	x.facts &^= offersScale | offersTS | offersSACK
	if s.HasScale {
		x.set(offersScale)
	}
	if s.HasTS {
		x.set(offersTS)
	}
	if s.SACK {
		x.set(offersSACK)
	}
}

// agree takes into use what x offered and the peer's SYN, or x's own SYN-ACK,
// carries as well (RFC 7323, sections 1.3 and 2.2; RFC 2018, section 2).
func (x *Endpoint) agree(s *Segment) {
	x.facts &^= scales | timestamps | sacks
	if x.has(offersScale) && s.HasScale {
		x.set(scales)
	}
	if x.has(offersTS) && s.HasTS {
		x.set(timestamps)
	}
	if x.has(offersSACK) && s.SACK {
		x.set(sacks)
	}
}

// cross is agree for a SYN that has crossed x's own: Linux then goes on to scale the
// windows that it offers, whether the peer knows of it or not (measured on 6.18).
func (x *Endpoint) cross(s *Segment) {
	x.agree(s)
	if x.has(offersScale) {
		x.set(scales)
	}
}

// maxScale is the largest window shift (RFC 7323, section 2.3).
const maxScale = 14

// widest is a window that nothing falls out of, and wider than any header can say.
const widest = 1 << 30

// pickUp begins x in the middle of a connection. Its scaling is unknown; the
// largest shift makes the window that we think it accepts too wide, not too narrow.
func (x *Endpoint) pickUp(s *Segment) {
	x.iss, x.una, x.nxt = s.Seq.Add(minusOne), s.Seq, s.Seq
	x.scale, x.wnd, x.peerWnd, x.maxWnd = maxScale, widest, widest, widest
	x.set(sentSyn | scales | sacks | ackedMuch)
	if s.HasTS {
		x.set(timestamps)
	}
}
