package conntrack

import (
	"math"
	"net/netip"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// A Dir is the direction of a segment, named by its sender. It also
// names an endpoint: the one that sends in that direction.
type Dir uint8

// The two directions, and endpoints, of a connection.
const (
	FromClient Dir = iota // the endpoint that sent the first SYN we saw
	FromServer
)

// Peer is the other direction, and the receiver of a segment in this one.
func (d Dir) Peer() Dir { return d ^ 1 }

// String is the sender's role: client or server.
func (d Dir) String() string {
	if d == FromClient {
		return "client"
	}
	return "server"
}

// A Conn is one incarnation of a 4-tuple and what is known of its two
// endpoints. It belongs to its Table, and to the goroutine that owns that;
// it may be used for another connection once the table has reported its end.
type Conn struct {
	// What a lookup reads stands in the first cache line.
	key   Key
	index uint32 // of this Conn in the table, from 1
	next  uint32 // in its bucket, beyond the slots

	newer      uint32 // in its list of the table's age lists
	older      uint32
	class      class
	clientLow  bool // the client is the key's low end
	clientSide uint8
	pickedUp   bool
	simClose   bool // two FINs, neither acknowledging the other
	closers    uint8
	gone       bool // reported as closed
	closer     Dir  // who sent the first FIN; valid if closers > 0

	ordinal     uint64
	incarnation uint32
	scaleSeen   uint8    // four bits of an endpoint: one more than its window shift, as its peer was told; 0: it was not
	edited      uint8    // a bit of an endpoint: its stream reaches its peer with other lengths
	laps        [2]uint8 // how often SND.NXT has passed the ISN again; stays at 255
	opened      time.Duration
	seen        time.Duration
	filed       time.Duration // when it was put into its age list
	due         time.Duration // when the table looks at its timers; 0: not scheduled
	old         [2]seq.Range  // sequence space of the incarnation before, or of a TIME_WAIT that a SYN has ended, by sender; see goesOn
	ends        [2]Endpoint
	shift       [2]uint32 // what is added to an endpoint's numbers on the way to its peer
	synAckTS    [2]uint32 // TSval of the first and the latest SYN-ACK of a listener
}

// Key is the connection's 4-tuple.
func (c *Conn) Key() Key { return c.key }

// Ordinal counts the connections of a table in the order of their SYNs, from 1.
func (c *Conn) Ordinal() uint64 { return c.ordinal }

// Incarnation counts the connections on this 4-tuple, from 1, as far back as
// the table remembers.
func (c *Conn) Incarnation() int { return int(c.incarnation) }

// Index is a small number that no other living connection of the table has,
// from 1. Callers keep their own facts about connections under it.
func (c *Conn) Index() int { return int(c.index) }

// PickedUp tells that the first SYN was not seen: roles, window scaling and
// the states before the first FIN are then guesses.
func (c *Conn) PickedUp() bool { return c.pickedUp }

// Opened is when the first segment was seen.
func (c *Conn) Opened() time.Duration { return c.opened }

// LastSeen is when an endpoint last sent a segment.
func (c *Conn) LastSeen() time.Duration { return c.seen }

// Client is the address and port of the endpoint that sent the first SYN.
func (c *Conn) Client() netip.AddrPort { return c.addr(c.clientLow) }

// Server is the address and port of the other endpoint.
func (c *Conn) Server() netip.AddrPort { return c.addr(!c.clientLow) }

// Addr is the address and port of an endpoint.
func (c *Conn) Addr(d Dir) netip.AddrPort { return c.addr(c.clientLow == (d == FromClient)) }

func (c *Conn) addr(low bool) netip.AddrPort {
	if low {
		return addrPort(c.key.low, c.key.lowPort)
	}
	return addrPort(c.key.high, c.key.highPort)
}

// Side is the device, 0 or 1, behind which an endpoint is.
func (c *Conn) Side(d Dir) int { return int(c.clientSide) ^ int(d) }

// DirFrom is the direction of segments that come in at a device.
func (c *Conn) DirFrom(side int) Dir { return Dir(int(c.clientSide) ^ side) }

// End is what is known of an endpoint. The pointer is good until the
// table reports the connection's end.
func (c *Conn) End(d Dir) *Endpoint { return &c.ends[d] }

// Each endpoint is followed in its own numbers, and in its own view of its peer's:
// Sent is told of segments as they are sent, Delivered as they arrive. Whoever
// stands between the two and moves numbers says so by Shift and Edited, for the few
// conclusions that go from one endpoint to the other.

// Shift tells that an endpoint's numbers reach its peer moved by so many, the SYN's too.
func (c *Conn) Shift(d Dir, by uint32) { c.shift[d] += by }

// Edited tells that an endpoint's stream reaches its peer with other lengths, or that
// its numbers were moved in its midst.
func (c *Conn) Edited(d Dir) { c.edited |= 1 << d }

// SeenISN is the initial sequence number of an endpoint as its peer knows it; ok is
// false until it is known.
func (c *Conn) SeenISN(d Dir) (n seq.Num, ok bool) {
	e := &c.ends[d]
	return e.iss.Add(c.shift[d]), e.has(sentSyn)
}

// Relative is a number of an endpoint counted from its ISN, or from that of the incarnation
// before where it lies in what was sent there and in nothing that was sent since. It
// is the number itself while no ISN is known.
func (c *Conn) Relative(d Dir, n seq.Num) uint32 { return c.relative(d, n, 0) }

// RelativeSeen is Relative for a number of an endpoint as its peer knows it.
func (c *Conn) RelativeSeen(d Dir, n seq.Num) uint32 { return c.relative(d, n, c.shift[d]) }

func (c *Conn) relative(d Dir, n seq.Num, shift uint32) uint32 {
	x, old := &c.ends[d], c.old[d]
	known := x.has(sentSyn)
	current := known && seq.InRange(n, x.iss.Add(shift), x.nxt.Add(shift+1))
	switch {
	case !current && old.Len() > 0 && seq.InRange(n, old.From, old.To.Add(1)):
		return old.From.Size(n)
	case known:
		return x.iss.Add(shift).Size(n)
	}
	return uint32(n)
}

// State is the inferred state of an endpoint.
func (c *Conn) State(d Dir) State { return c.ends[d].state }

// Closer is the endpoint that closed first, once a FIN has been sent.
func (c *Conn) Closer() (d Dir, ok bool) { return c.closer, c.closers > 0 }

// Closed tells that neither endpoint has the connection any more.
func (c *Conn) Closed() bool { return c.ends[0].state == Closed && c.ends[1].state == Closed }

// fact is one thing known of an endpoint.
type fact uint32

const (
	sentSyn     fact = 1 << iota // iss is valid
	gotSyn                       // irs is valid
	sentFin                      // fin is valid
	gotFin                       // the peer's FIN is received, everything before it too
	heardFin                     // the peer's FIN at finAt has arrived, perhaps too early
	metFin                       // a FIN at finAt was delivered, and in our view not taken
	passive                      // it was a listener that answered the SYN
	prior                        // what stands here is the socket of an earlier incarnation
	offersTS                     // its SYN carried timestamps
	timestamps                   // timestamps are in use, as it believes
	offersSACK                   // its SYN permitted selective acknowledgments
	sacks                        // they are in use, as it believes
	offersScale                  // its SYN carried a window scale
	scales                       // window scaling is in use, as it believes
	probed                       // has been given a keepalive that it should answer
	challenged                   // has been given a segment that asks for a challenge ACK
	pastFin                      // its FIN was sent after it had received the peer's
	blind                        // more out-of-order ranges arrived than are kept
	ackedMuch                    // more was acknowledged to it than any window holds
	hasTS                        // tsRecent is valid
	sentAck                      // acked, rawWnd and edge are valid
	near                         // it answers within milliseconds
	waited                       // SYN_RCVD stands in the place of a TIME_WAIT
	askedScale                   // the peer's SYN, which it has taken before its own was seen, carried a window scale
	askedSACK                    // and permitted selective acknowledgments
	doubted                      // an ICMP error has ended its SYN_SENT, if it has heard it
)

// An Endpoint is one TCP of a connection: what it has sent, and what a Linux
// kernel makes of what was delivered to it. Names are those of RFC 9293,
// section 3.3.1.
type Endpoint struct {
	state  State
	scale  uint8  // shift of the windows it advertises, once scaling is in use
	rawWnd uint16 // the window field it sent last
	facts  fact

	iss seq.Num // its initial sequence number
	una seq.Num // SND.UNA: the oldest it knows to be unacknowledged
	nxt seq.Num // SND.NXT: the end of what it has sent
	fin seq.Num // the number of its FIN, if it has sent one

	irs   seq.Num // the peer's initial sequence number, as it was delivered
	rcv   seq.Num // RCV.NXT: the end of what it has received without a hole
	finAt seq.Num // the number of the peer's FIN, if heardFin
	acked seq.Num // the acknowledgment it sent last
	edge  seq.Num // right edge of the window it advertised

	wnd      uint32 // the window it advertised last, bytes
	maxWnd   uint32 // the largest window it has been offered
	peerWnd  uint32 // the window it was offered last
	tsRecent uint32 // TS.Recent; without hasTS, in SYN_SENT, the TSval of its first SYN

	ooo  ranges    // received beyond a hole
	leap seq.Range // what rcv has passed at once as a hole was closed, the first that it has not acknowledged

	moved  time.Duration // when a delivery last changed rcv, una or state
	resent time.Duration // when it last sent what una stands at; of a request, before it answers, moved of who was there before
	gap    micros        // between its last two retransmissions of una
	newest uint32        // of the timestamps that were delivered to it
}

// micros is a time in microseconds; it stops at some 71 minutes.
type micros uint32

func microsOf(d time.Duration) micros { return micros(min(d.Microseconds(), math.MaxUint32)) }

func (m micros) duration() time.Duration { return time.Duration(m) * time.Microsecond }

func (e *Endpoint) has(f fact) bool { return e.facts&f == f }
func (e *Endpoint) set(f fact)      { e.facts |= f }
func (e *Endpoint) clear(f fact)    { e.facts &^= f }

// State is the inferred state.
func (e *Endpoint) State() State { return e.state }

// ISN is its initial sequence number; ok is false until it is known.
func (e *Endpoint) ISN() (n seq.Num, ok bool) { return e.iss, e.has(sentSyn) }

// Unacked is SND.UNA: the oldest number that it does not know to be acknowledged.
func (e *Endpoint) Unacked() seq.Num { return e.una }

// Next is SND.NXT: the number after everything it has sent.
func (e *Endpoint) Next() seq.Num { return e.nxt }

// FIN is the number of its FIN; ok is false until it has sent one.
func (e *Endpoint) FIN() (n seq.Num, ok bool) { return e.fin, e.has(sentFin) }

// Received is RCV.NXT: the end of what was delivered to it without a hole. An
// exact RST carries this number, not the endpoint's last acknowledgment,
// which may lag by a delayed ACK.
func (e *Endpoint) Received() seq.Num { return e.rcv }

// PeerISN is the peer's initial sequence number as the endpoint knows it; ok is false until
// it has received a SYN, and then Received has no meaning either.
func (e *Endpoint) PeerISN() (n seq.Num, ok bool) { return e.irs, e.has(gotSyn) }

// Highest is the end of all that was delivered to it, beyond holes too.
func (e *Endpoint) Highest() seq.Num {
	if edge, holed := e.ooo.highest(); holed {
		return edge
	}
	return e.rcv
}

// Got tells whether it has received what a number stands for, beyond a hole too.
func (e *Endpoint) Got(n seq.Num) bool { return n.Less(e.rcv) || e.ooo.contain(n) }

// Window is how much it would accept from Received on, in bytes.
func (e *Endpoint) Window() uint32 {
	if e.edge.Less(e.rcv) {
		return 0
	}
	return e.rcv.Size(e.edge)
}

// RawWindow is the window field it sent last, unscaled.
func (e *Endpoint) RawWindow() uint16 { return e.rawWnd }

// NewestTS is the newest timestamp that was delivered to it, which it takes again; ok is
// false if timestamps are not in use. Its TS.Recent may lie before that: which one it has
// is told by the moment of its acknowledgments, which we see later.
func (e *Endpoint) NewestTS() (val uint32, ok bool) {
	return e.newest, e.has(timestamps | hasTS)
}

// Prior tells whether the endpoint still belongs to an earlier incarnation
// of the 4-tuple: it has not taken part in this one yet.
func (e *Endpoint) Prior() bool { return e.has(prior) }
