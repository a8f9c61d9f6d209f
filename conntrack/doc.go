// Package conntrack follows both endpoints of every TCP connection through the
// states of RFC 9293. It is told about each segment twice: Sent, when its
// sender has let it go, and Delivered, when its receiver has been given it. What
// an endpoint sent is proof about that endpoint; what was delivered to it is
// input to a model of how Linux receives. A dropped FIN therefore moves its
// sender and not its peer, and a forged RST moves its target though nobody
// sent it.
//
//	                       CLOSED
//	  SYN delivered ┌────────┴────────┐ SYN sent
//	                ▼                 ▼
//	            SYN_RCVD ◄──────── SYN_SENT
//	      ACK of    │   SYN delivered │ SYN-ACK delivered
//	      the SYN   ▼                 ▼
//	      delivered ESTABLISHED ◄─────┘
//	       FIN sent │   │ FIN delivered, nothing missing before it
//	       ┌────────┘   └──────────┐
//	       ▼                       ▼
//	   FIN_WAIT_1 ──────────┐  CLOSE_WAIT
//	ACK of │   FIN delivered│      │ FIN sent
//	the FIN▼                ▼      ▼
//	   FIN_WAIT_2       CLOSING  LAST_ACK
//	FIN    │  ACK of the    │      │ ACK of the FIN delivered
//	deliv. ▼  FIN delivered ▼      ▼
//	   TIME_WAIT ◄──────────┘   CLOSED
//	       └─ 60 s, begun again by each segment it has to answer ─► CLOSED
//
// Besides: an acceptable RST delivered leads to CLOSED from everywhere, and so
// does a RST sent by an endpoint, except from SYN_SENT and SYN_RCVD, where it may
// refuse one segment only; an ICMP error delivered may end these two; data delivered where the peer's FIN stood does it
// too. A SYN delivered to TIME_WAIT may lead to SYN_RCVD, and one sent from it
// to SYN_SENT. After a simultaneous open, or with Fast Open, SYN_RCVD may send its FIN
// and is in FIN_WAIT_1. A FIN that was sent before the peer's arrived may be seen after
// that was delivered: it leads from CLOSE_WAIT to CLOSING. An endpoint that
// had to retransmit and has fallen silent is CLOSED by its timer.
//
// Where the wire contradicts the model, the wire is right: an acknowledgment is
// the truth about what its sender has received, a FIN about what it has closed.
// The correction is a Change with cause Evidence.
//
// Acceptance is that of Linux 6.18 (tcp_validate_incoming, tcp_rcv_state_process,
// tcp_check_req and tcp_timewait_state_process), which differs from the RFC's
// text in the points that the functions of this package name.
//
// The blocks of selective acknowledgments are not read. What was delivered to an endpoint
// beyond a hole counts as kept there, as it is unless the endpoint is out of memory, or the network
// behind us loses it; the next acknowledgment that falls short puts that right. A block would
// tell of it sooner, but it names the newest three or four ranges only, says nothing
// by its absence, and may have crossed what was delivered since. Meanwhile a RST at the
// end of such data is taken for exact (resetsBeyondHole); no other state depends on it.
//
// FIN_WAIT_2 is taken for that of a process which has shut down its side. After a close Linux
// keeps less of it and judges otherwise (tcp_timewait_state_process): any RST in the window ends
// it, and in 60 s the end comes without a word. On the wire the two look the same.
//
// There is no clock, log or goroutine here: callers pass the time, and one
// goroutine owns a Table with all its connections.
package conntrack
