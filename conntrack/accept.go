package conntrack

import (
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// validate is tcp_validate_incoming: PAWS, the window, RST and SYN, in this order.
func (st *step) validate(r Dir, s *Segment) bool {
	x := &st.c.ends[r]
	if !s.has(wire.ACK | wire.RST | wire.SYN) {
		return false
	}
	if x.tooOld(s, pawsWindow) && !s.has(wire.RST) {
		if !s.bare() || !s.Seq.Less(x.rcv) { // tcp_disordered_ack_check: that is common
			x.set(challenged)
		}
		return false
	}
	st.expectProbeAnswer(r, s)
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
		if s.Seq == x.rcv || x.resetsAfterFin(s) || x.resetsBeyondHole(s) {
			st.move(r, Closed, ByDelivery)
		} else {
			x.set(challenged)
		}
		return false
	}
	if s.has(wire.SYN) {
		crossing := x.state == SynRcvd && s.has(wire.ACK) && s.Seq == x.irs && s.End() == x.rcv && s.Ack == x.nxt
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

// resetsBeyondHole: with selective acknowledgments Linux also takes a RST at the end
// of the highest block that it has told of.
func (x *Endpoint) resetsBeyondHole(s *Segment) bool {
	edge, holed := x.ooo.highest()
	return holed && s.Seq == edge && x.has(sacks)
}

// pawsWindow is by how many ticks a socket lets a timestamp be older than
// TS.Recent (TCP_PAWS_WINDOW); requests and TIME_WAIT allow none.
const pawsWindow = 1

// tooOld is PAWS (RFC 7323, section 5.3). A segment without timestamps is not
// judged, even if they were negotiated, and neither is it after a first
// timestamp of 0, which some send in their SYN (tcp_paws_check).
func (x *Endpoint) tooOld(s *Segment, window int32) bool {
	return x.stamped(s) && x.tsRecent != 0 && int32(x.tsRecent-s.TSVal) > window
}

// stamped tells whether the timestamps of s can be held against TS.Recent.
func (x *Endpoint) stamped(s *Segment) bool {
	return s.HasTS && x.has(timestamps|hasTS)
}

// inWindow is tcp_sequence: the segment ends at or after what was last acknowledged,
// and its data within the window. Since 6.17 Linux no longer cuts off what lies
// beyond, but refuses the whole segment with its acknowledgment; a FIN alone may lie
// beyond (measured on 6.18). It would make an exception for a socket that has
// nothing to read; one that was sent more than it has room for has.
func (x *Endpoint) inWindow(s *Segment) bool {
	return seq.Min(x.rcv, x.told()).LessEq(s.End()) && s.Seq.Add(s.Len).LessEq(x.rcv.Add(x.Window()))
}

// expectProbeAnswer notes that the segment is a keepalive, or looks like one, and
// will be answered. A window probe looks like one too, but its sender knows of a
// closed window; the last byte of a stream does, but is not acknowledged yet.
func (st *step) expectProbeAnswer(r Dir, s *Segment) {
	x, y := &st.c.ends[r], &st.c.ends[r.Peer()]
	keepalive := s.Seq.Add(1) == x.rcv && s.Len <= 1 && !s.has(wire.SYN|wire.FIN|wire.RST)
	if keepalive && y.una == y.nxt && y.peerWnd != 0 {
		x.set(probed)
	}
}

// expectChallenge notes that x will answer an unacceptable segment with an ACK that
// is the field's "challenge", unless it is the everyday retransmission of what x has.
func (x *Endpoint) expectChallenge(s *Segment) {
	if s.has(wire.SYN) || x.rcv.Less(s.Seq) || s.End().Add(x.maxWnd).Less(x.rcv) {
		x.set(challenged)
	}
}

// acknowledged is tcp_ack. It tells whether the rest of the segment counts.
func (st *step) acknowledged(r Dir, s *Segment) bool {
	x := &st.c.ends[r]
	switch {
	case x.state == SynRcvd && !seq.InRange(s.Ack, x.una, x.nxt.Add(1)):
		return false // answered by RST; but the number of its own SYN will do
	case x.nxt.Less(s.Ack), s.Ack.Less(x.oldestAck()):
		x.set(challenged)
		return false
	case s.Ack.Less(x.una):
		return true // of no news, but what it carries counts
	}
	x.takeTimestamp(s)
	x.peerWindow(st.c.scaleFrom(r.Peer()), s)
	if x.una.Less(s.Ack) {
		x.una = s.Ack
		x.moved, x.gap, x.resent = st.now, 0, st.now
		if x.iss.Size(x.una) > widest {
			x.set(ackedMuch)
		}
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

// oldestAck is the oldest acknowledgment that x does not take for an attack (RFC
// 5961, section 5.2): up to the largest window back, but not before what was ever
// acknowledged. That is the SYN's, too, unless a listener's request has taken it.
func (x *Endpoint) oldestAck() seq.Num {
	if x.has(ackedMuch) {
		return x.una.Add(-x.maxWnd)
	}
	first := x.iss
	if x.has(passive) {
		first = first.Add(1)
	}
	return x.una.Add(-min(x.maxWnd, seq.Min(first, x.una).Size(x.una)))
}

// peerWindow notes the window that x is offered.
func (x *Endpoint) peerWindow(shift uint8, s *Segment) {
	x.peerWnd = uint32(s.Window)
	if x.has(scales) && !s.has(wire.SYN) {
		x.peerWnd <<= shift
	}
	x.maxWnd = max(x.maxWnd, x.peerWnd)
}

// seeScale notes the window scale in the SYN that an endpoint has taken.
func (c *Conn) seeScale(r Dir, s *Segment) {
	x := &c.ends[r]
	if s.has(wire.SYN) && x.has(gotSyn) && s.Seq == x.irs && s.HasScale && !x.has(prior) {
		at := 4 * r.Peer()
		c.scaleSeen = c.scaleSeen&^(15<<at) | (min(s.Scale, maxScale)+1)<<at
	}
}

// scaleFrom is the shift of an endpoint's windows, as its peer reads them.
func (c *Conn) scaleFrom(d Dir) uint8 {
	if seen := c.scaleSeen >> (4 * d) & 15; seen > 0 {
		return seen - 1
	}
	return c.ends[d].scale
}

// queue is tcp_data_queue: what lies in the window is kept, what closes the
// hole is received, and so is a FIN once nothing is missing before it.
func (st *step) queue(r Dir, s *Segment) {
	x := &st.c.ends[r]
	span := seq.Range{From: seq.Max(s.Seq, x.rcv), To: s.End()}
	closed := x.Window() == 0 && (s.Len > 0 || span.From != x.rcv) // a bare FIN is taken even so
	if closed || span.To.LessEq(span.From) {
		return
	}
	if x.has(heardFin) && span.Contains(x.finAt) {
		x.clear(heardFin) // a FIN out of order, where there is data (tcp_ofo_queue)
	}
	if s.has(wire.FIN) && (!x.has(heardFin) || s.fin().Less(x.finAt)) {
		x.finAt = s.fin() // of several the first counts
		x.set(heardFin)
	}
	if span.From != x.rcv {
		if !x.ooo.add(span) {
			x.set(blind)
		}
		return
	}
	x.rcv = x.ooo.advance(span.To)
	if x.rcv != span.To && x.leap.Len() == 0 {
		x.leap = seq.Range{From: span.From, To: x.rcv}
	}
	x.moved = st.now
	if x.has(heardFin) && x.finAt.Less(x.rcv) {
		st.receivedFin(r, ByDelivery)
	}
}

// receivedFin: the peer's FIN is in order.
func (st *step) receivedFin(r Dir, why Cause) {
	x := &st.c.ends[r]
	x.rcv, x.ooo = x.finAt.Add(1), ranges{}
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

// told is what x has acknowledged (rcv_wup). When a hole has been closed it does that at
// once, so we need not have seen it (RFC 5681, section 4.2).
func (x *Endpoint) told() seq.Num {
	if x.leap.Len() > 0 && x.ooo.n == 0 {
		return seq.Max(x.acked, x.leap.To)
	}
	return x.acked
}

// takeTimestamp is tcp_replace_ts_recent: only a segment that reaches what was
// last acknowledged may renew TS.Recent (RFC 7323, section 4.3).
func (x *Endpoint) takeTimestamp(s *Segment) {
	if s.HasTS && x.has(timestamps) && s.Seq.LessEq(x.told()) && !x.tooOld(s, 0) {
		x.tsRecent = s.TSVal
		x.set(hasTS)
	}
}
