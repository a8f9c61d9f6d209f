package conntrack

import (
	"time"

	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// DeliveredICMP tells the table that an ICMP error has been given to the endpoint d,
// about a segment that this one has sent or is made out to have sent.
//
// To a connection that is up an error is but a hint: Linux remembers it for the day
// on which it gives up, shrinks its segments, or retransmits earlier, and stays
// where it is (RFC 1122, section 4.2.3.9; RFC 5461). What is still opening may end.
func (t *Table) DeliveredICMP(now time.Duration, c *Conn, d Dir, e *wire.ICMP) {
	st := step{t, c, now}
	st.deliveredICMP(d, e)
	st.settled()
}

// deliveredICMP follows tcp_v4_err, tcp_v6_err and, for the request of a listener,
// tcp_req_err. The quoted number must be one that is under way, so that nobody ends a
// connection who does not see it (RFC 5927, section 4.1): of a request the number
// of its SYN-ACK.
func (st *step) deliveredICMP(d Dir, e *wire.ICMP) {
	x := &st.c.ends[d]
	ends := false
	switch {
	case !x.has(sentSyn):
	case x.isRequest():
		ends = e.Seq == x.iss && endsRequest(e)
	case x.state == SynSent, x.state == SynRcvd:
		// Should its process hold the socket just then, Linux drops the error.
		if ends = seq.InRange(e.Seq, x.una, x.nxt.Add(1)) && endsOpening(e); ends {
			x.set(doubted)
		}
	}
	if ends {
		st.move(d, Closed, ByDelivery)
	}
}

// Codes of ICMP errors that kernels tell apart (RFC 792; RFC 1812, section 5.2.7.1;
// RFC 4443, section 3.1).
const (
	v4Net          = 0
	v4Host         = 1
	v4LastKnown    = 15 // NR_ICMP_UNREACH
	v4InTransit    = 0  // of a time exceeded; the other is a reassembly's
	v6NoRoute      = 0
	v6OutOfScope   = 2
	v6AddressFails = 3
)

// endsOpening tells whether an error ends a socket in SYN_SENT, or in the SYN_RCVD of
// a simultaneous open. Too big does not: the next SYN is smaller.
func endsOpening(e *wire.ICMP) bool {
	if e.V6() {
		return e.Type != wire.ICMPv6PacketTooBig
	}
	switch e.Type {
	case wire.ICMPv4Unreachable:
		return e.Code != wire.ICMPv4FragNeeded && e.Code <= v4LastKnown
	case wire.ICMPv4TimeExceeded:
		return e.Code == v4InTransit
	}
	return e.Type == wire.ICMPv4ParamProblem
}

// endsRequest tells whether an error makes a listener drop a request. The two
// families disagree: with IPv4 it is what a route may fail of, with IPv6 what
// icmpv6_err_convert holds to be final, and that is what no route can mend.
func endsRequest(e *wire.ICMP) bool {
	switch {
	case e.V6() && e.Type == wire.ICMPv6Unreachable:
		return e.Code != v6NoRoute && e.Code != v6OutOfScope && e.Code != v6AddressFails
	case e.V6():
		return e.Type == wire.ICMPv6ParamProblem
	case e.Type == wire.ICMPv4Unreachable:
		return e.Code == v4Net || e.Code == v4Host
	case e.Type == wire.ICMPv4TimeExceeded:
		return e.Code == v4InTransit
	}
	return e.Type == wire.ICMPv4ParamProblem
}
