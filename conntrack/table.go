package conntrack

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/sched"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A Config sets up a Table.
type Config struct {
	// Max is how many connections are kept at most, up to 2^30; 0 means DefaultMax.
	Max int
	// Stacks are the hosts behind the two devices.
	Stacks [2]Stack
	// Observer hears what happens; nil is nobody.
	Observer Observer
}

// DefaultMax is how many connections a Table keeps if its Config does not say.
const DefaultMax = 1 << 20

// mostConns leaves room for a tag beside an index.
const mostConns = 1<<30 - chunk - 1

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
	buckets []*[bucketSegment]bucket
	mask    uint64 // of the next power of two at or above the number of buckets
	used    uint64 // buckets
	indices uint32 // the bits of a slot that are an index
	chunks  []*[chunk]Conn
	free    uint32 // list through Conn.next
	count   int
	opened  uint64
	ages    [numClasses]list
	timers  sched.Queue[uint32]
	after   time.Duration // see SentAfter
}

// NewTable makes an empty table.
func NewTable(cfg Config) *Table {
	if cfg.Max <= 0 {
		cfg.Max = DefaultMax
	}
	cfg.Max = min(cfg.Max, mostConns)
	if cfg.Observer == nil {
		cfg.Observer = nobody{}
	}
	return &Table{
		cfg:     cfg,
		seed:    rand.Uint64(),
		buckets: []*[bucketSegment]bucket{new([bucketSegment]bucket)},
		mask:    bucketSegment - 1,
		used:    bucketSegment,
		indices: 1<<bits.Len(uint(cfg.Max+chunk)) - 1, // one more than Max for a moment, and whole chunks
		after:   math.MaxInt64,
	}
}

// SentAfter tells that the segments of which Sent is told from now on have left their
// senders after a time: then the queues that they come from were empty. It matters
// where a segment and a delivery may have crossed. Without it they are as new as can be.
func (t *Table) SentAfter(at time.Duration) { t.after = at }

type nobody struct{}

func (nobody) Opened(c, old *Conn) {}

func (nobody) Changed(*Conn, Dir, State, State, Cause) {}

func (nobody) Closed(*Conn, Reason) {}

func (nobody) Removed(*Conn) {}

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
	var k Key
	low := k.of(p)
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
	var k Key
	low := k.of(p)
	c := t.find(&k)
	switch {
	case c == nil && s.has(wire.RST):
		return nil, 0
	case c == nil:
		c = t.open(now, side, k, low, s, nil)
	case (&step{t, c, now}).reborn(c.dir(low), s):
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
