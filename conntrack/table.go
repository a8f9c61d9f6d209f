package conntrack

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/sched"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A Config sets up a Table.
type Config struct {
	// Max is how many connections are kept at most; 0 means DefaultMax.
	Max int
	// Stacks are the hosts behind the two devices.
	Stacks [2]Stack
	// Observer hears what happens; nil is nobody.
	Observer Observer
}

// DefaultMax is how many connections a Table keeps if its Config does not say.
const DefaultMax = 1 << 20

// An Observer hears of connections as it happens, from within the calls of the
// Table. It must not call the Table.
type Observer interface {
	// Opened: a connection has begun. old is the earlier incarnation on the
	// 4-tuple, if one is remembered; it is removed right after.
	Opened(c, old *Conn)
	// Changed: an inferred state has changed; the endpoint d has the new one already.
	Changed(c *Conn, d Dir, from, to State, why Cause)
	// Closed: no endpoint has the connection any more, or it is forgotten first.
	// An endpoint that turns out to live comes back by a Changed with the cause
	// Evidence, and its end is reported again.
	Closed(c *Conn, why Reason)
	// Removed: c is about to be used for another connection.
	Removed(c *Conn)
}

// A Reason says why a connection ended.
type Reason uint8

// The reasons for which a connection is closed.
const (
	Ended      Reason = iota // both endpoints are CLOSED
	Superseded               // a new SYN has begun another incarnation
	Evicted                  // the table was full
)

// String is the reason as events write it.
func (r Reason) String() string { return [...]string{"ended", "superseded", "evicted"}[r] }

// A Table holds connections by 4-tuple. It is bounded, grows one
// bucket at a time (linear hashing, so that no packet waits for a resize), and
// allocates only while it grows beyond its largest size so far. One goroutine owns it.
type Table struct {
	cfg     Config
	seed    uint64
	buckets [][]uint32 // segments of bucketSegment heads; an index of 0 is none
	mask    uint64     // of the next power of two at or above the number of buckets
	used    uint64     // buckets
	chunks  []*[chunk]Conn
	free    uint32 // list through Conn.next
	count   int
	opened  uint64
	ages    [numClasses]list
	timers  sched.Queue[uint32]
}

const (
	bucketSegment = 4096
	chunk         = 256
)

// NewTable makes an empty table.
func NewTable(cfg Config) *Table {
	if cfg.Max <= 0 {
		cfg.Max = DefaultMax
	}
	if cfg.Observer == nil {
		cfg.Observer = nobody{}
	}
	return &Table{
		cfg:     cfg,
		seed:    rand.Uint64(),
		buckets: [][]uint32{make([]uint32, bucketSegment)},
		mask:    bucketSegment - 1,
		used:    bucketSegment,
	}
}

type nobody struct{}

func (nobody) Opened(c, old *Conn)                     {}
func (nobody) Changed(*Conn, Dir, State, State, Cause) {}
func (nobody) Closed(*Conn, Reason)                    {}
func (nobody) Removed(*Conn)                           {}

// Len is how many connections the table holds, the closed ones that it still
// remembers included.
func (t *Table) Len() int { return t.count }

// Opened is how many connections have been seen.
func (t *Table) Opened() uint64 { return t.opened }

// Find is the current connection on a 4-tuple, and the direction of a segment
// from src; nil if there is none.
func (t *Table) Find(src, dst netip.AddrPort) (*Conn, Dir) {
	k, low := KeyBetween(src, dst)
	c := t.find(&k)
	if c == nil {
		return nil, 0
	}
	return c, c.dir(low)
}

// FindPacket is Find for a segment as it lies in a packet.
func (t *Table) FindPacket(p *wire.Packet) (*Conn, Dir) {
	var src, dst [16]byte
	p.Addrs16(&src, &dst)
	k, low := KeyOf(&src, &dst, p.SrcPort(), p.DstPort())
	c := t.find(&k)
	if c == nil {
		return nil, 0
	}
	return c, c.dir(low)
}

// At is the connection with an Index, or nil if none has it.
func (t *Table) At(index int) *Conn {
	if index < 1 || index > len(t.chunks)*chunk {
		return nil
	}
	if c := t.at(uint32(index)); c.ordinal != 0 {
		return c
	}
	return nil
}

// All calls f for each connection until it returns false, in the order of
// their places in the table.
func (t *Table) All(f func(*Conn) bool) {
	for _, ch := range t.chunks {
		for i := range ch {
			if c := &ch[i]; c.ordinal != 0 && !f(c) {
				return
			}
		}
	}
}

// Sent tells the table that the host behind device side has sent a segment. It
// returns the connection, nil if the segment belongs to none and begins none,
// its direction and what it is. p says from where to where.
func (t *Table) Sent(now time.Duration, side int, p *wire.Packet, s *Segment) (*Conn, Dir, Kinds) {
	c, d := t.Meet(now, side, p, s)
	if c == nil {
		return nil, 0, KindsOf(KindRst)
	}
	return c, d, t.SentOn(now, c, d, s)
}

// Meet is the first half of Sent: it finds the connection that a segment belongs to, or
// begins one, and leaves the endpoints as they are. A RST begins none.
func (t *Table) Meet(now time.Duration, side int, p *wire.Packet, s *Segment) (*Conn, Dir) {
	var src, dst [16]byte
	p.Addrs16(&src, &dst)
	k, low := KeyOf(&src, &dst, p.SrcPort(), p.DstPort())
	c := t.find(&k)
	switch {
	case c == nil && s.has(wire.RST):
		return nil, 0
	case c == nil:
		c = t.open(now, side, k, low, s, nil)
	case c.reborn(c.dir(low), s):
		c = t.open(now, side, k, low, s, c)
	}
	return c, c.dir(low)
}

// SentOn is the second half: the endpoint that sends in direction d has sent s.
func (t *Table) SentOn(now time.Duration, c *Conn, d Dir, s *Segment) Kinds {
	kinds := c.classify(d, s)
	st := step{t, c, now}
	st.sent(d, s)
	st.settled()
	return kinds
}

// Delivered tells the table that a segment that travels in direction d has
// been given to its receiver.
func (t *Table) Delivered(now time.Duration, c *Conn, d Dir, s *Segment) {
	st := step{t, c, now}
	st.delivered(d, s)
	st.settled()
}

// dir is the direction of a segment whose sender is the key's low end, or not.
func (c *Conn) dir(fromLow bool) Dir {
	if fromLow == c.clientLow {
		return FromClient
	}
	return FromServer
}

// reborn tells whether a segment begins a new incarnation: a SYN with a new
// number from an endpoint that is not just opening.
func (c *Conn) reborn(d Dir, s *Segment) bool {
	x, y := &c.ends[d], &c.ends[d.Peer()]
	if s.Flags&(wire.SYN|wire.ACK|wire.RST) != wire.SYN {
		return false
	}
	if x.has(sentSyn) && !x.has(prior) {
		// Who had no answer may be thought to have given up, and go on.
		return s.Seq != x.iss || c.gone && (x.has(gotSyn) || x.gap == 0)
	}
	return y.state != SynSent // else both open at once
}

// open begins a connection with a segment, in place of old if there is one.
func (t *Table) open(now time.Duration, side int, k Key, fromLow bool, s *Segment, old *Conn) *Conn {
	if old == nil && t.count >= t.cfg.Max {
		t.evict(now)
	}
	c := t.take()
	t.opened++
	hash := k.hash(t.seed)
	*c = Conn{
		key: k, hash: hash, index: c.index, ordinal: t.opened, incarnation: 1,
		opened: now, seen: now, clientLow: fromLow, clientSide: uint8(side),
	}
	sender := senderRole(k, fromLow, s)
	if sender == FromServer {
		c.clientLow, c.clientSide = !fromLow, uint8(1-side)
	}
	if s.Flags&(wire.SYN|wire.ACK) != wire.SYN {
		c.pickUp(sender, s)
	}
	if old != nil {
		c.inherit(old)
	}
	t.cfg.Observer.Opened(c, old)
	if old != nil {
		if !old.gone {
			t.cfg.Observer.Closed(old, Superseded)
		}
		t.remove(old)
	}
	t.insert(c)
	t.file(now, c)
	st := step{t, c, now}
	st.arm(FromServer) // an earlier incarnation's socket brings its timer along
	return c
}

// senderRole guesses who the client is from the first segment: without a bare
// SYN the end with the lower port is taken for the server.
func senderRole(k Key, fromLow bool, s *Segment) Dir {
	if s.has(wire.SYN) {
		if s.has(wire.ACK) {
			return FromServer
		}
		return FromClient
	}
	mine, other := k.lowPort, k.highPort
	if !fromLow {
		mine, other = other, mine
	}
	if mine < other {
		return FromServer
	}
	return FromClient
}

// pickUp begins a connection whose first SYN was not seen. What an endpoint
// accepts is unknown then, so its window is taken to be as wide as can be.
func (c *Conn) pickUp(sender Dir, s *Segment) {
	c.pickedUp = true
	if s.has(wire.SYN) {
		c.ends[FromClient] = Endpoint{
			state: SynSent, facts: sentSyn | offersScale | offersTS | offersSACK,
			iss: s.Ack.Add(minusOne), una: s.Ack.Add(minusOne), nxt: s.Ack,
			scale: maxScale, wnd: 0xffff,
		}
		return
	}
	x, y := &c.ends[sender], &c.ends[sender.Peer()]
	x.state, y.state = Established, Established
	x.pickUp(s)
	y.pickUp(&Segment{Seq: s.Ack, HasTS: s.HasTS})
	y.hasReceived(s.Seq)
	y.edge = y.rcv.Add(widest)
}

// inherit takes over from the incarnation before: its peer may still have the
// old socket, and its numbers tell which segments are stale.
func (c *Conn) inherit(old *Conn) {
	c.incarnation = old.incarnation + 1
	for d := range c.ends {
		was := d
		if old.clientLow != c.clientLow {
			was = 1 - d
		}
		e := &old.ends[was]
		if e.has(sentSyn) && !e.has(prior) {
			c.old[d] = seq.Range{From: e.iss, To: e.nxt}
		} else {
			c.old[d] = old.old[was]
		}
		if Dir(d) == FromServer && e.state != Closed {
			c.ends[d] = *e
			c.ends[d].set(prior)
		}
	}
}

func (t *Table) find(k *Key) *Conn {
	h := k.hash(t.seed)
	for i := *t.bucket(h); i != 0; {
		c := t.at(i)
		if c.hash == h && c.key == *k {
			return c
		}
		i = c.next
	}
	return nil
}

// at is the connection with an index.
func (t *Table) at(i uint32) *Conn { return &t.chunks[(i-1)/chunk][(i-1)%chunk] }

// bucket is where the chain of a hash begins. Buckets beyond the last one that
// is in use stand folded onto those of half their number.
func (t *Table) bucket(h uint64) *uint32 {
	i := h & t.mask
	if i >= t.used {
		i &= t.mask >> 1
	}
	return &t.buckets[i/bucketSegment][i%bucketSegment]
}

func (t *Table) insert(c *Conn) {
	b := t.bucket(c.hash)
	c.next = *b
	*b = c.index
	t.count++
	if uint64(t.count) > t.used {
		t.grow()
	}
}

// grow adds one bucket and moves to it what its other half holds of it.
func (t *Table) grow() {
	if t.used > t.mask {
		t.mask = t.mask<<1 | 1
	}
	if t.used%bucketSegment == 0 {
		t.buckets = append(t.buckets, make([]uint32, bucketSegment))
	}
	split := t.used & (t.mask >> 1)
	from := &t.buckets[split/bucketSegment][split%bucketSegment]
	i := *from
	*from = 0
	t.used++
	for i != 0 {
		c := t.at(i)
		i = c.next
		b := t.bucket(c.hash)
		c.next = *b
		*b = c.index
	}
}

// take is an unused connection; its index is set.
func (t *Table) take() *Conn {
	if t.free == 0 {
		t.chunks = append(t.chunks, new([chunk]Conn))
		first := uint32(len(t.chunks)-1) * chunk
		for i := uint32(chunk); i > 0; i-- {
			c := t.at(first + i)
			c.index, c.next = first+i, t.free
			t.free = c.index
		}
	}
	c := t.at(t.free)
	t.free = c.next
	return c
}

// remove ends all memory of a connection.
func (t *Table) remove(c *Conn) {
	t.cfg.Observer.Removed(c)
	b := t.bucket(c.hash)
	for *b != c.index {
		b = &t.at(*b).next
	}
	*b = c.next
	t.ages[c.class].unlink(t, c)
	*c = Conn{index: c.index, next: t.free}
	t.free = c.index
	t.count--
}
