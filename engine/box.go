package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/paged"
	"github.com/tcpmangle/tcpmangle/internal/sched"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// The journey of a packet through a Box; the functions of this file stand in
// its order.
//
//	(1) the worker has read it
//	(2) wire      Parse        bytes → segments; what is no TCP segment → (7) untouched
//	(3) conntrack Meet, SentOn 4-tuple → Conn, Dir; what the sending says of the sender
//	(4) select    walk         (Segment, Conn) → the rules that fire
//	(5) fault     Apply        Segment → its fate, its edits, and what is to leave besides
//	(6) emit      carryOut     now, in a run with its neighbours; later: wait, leave; or never
//	    depart                 the edits, and the numbers of its receiver; conntrack Delivered
//	(7) Output    Write        the worker's device
//
// A packet that no rule can concern goes from (3) to (7) as it came: passTracked. Segments
// that are alike, and on which no rule would fire, go together from (4) to (6): train.
// An ICMP error about a connection takes (4) to (7) in icmp.go.

// A Box takes packets and the time, and gives out what leaves. It reads no
// clock, opens no device and starts no goroutine: the same packets at the same
// times leave the same way. One goroutine owns it.
type Box struct {
	cfg    BoxConfig
	start  time.Duration
	now    time.Duration
	table  *conntrack.Table
	rules  *ruleSet
	byHand *rule // see Act; nil until it is needed

	totals   *Totals
	ordinals *paged.List[uint64] // of connections over all Boxes, by Conn.Index; nil if this is the only one

	pool  Pool
	stats Stats

	flows      paged.List[*flow] // by Conn.Index
	spareFlows paged.List[*flow]
	chosen     []candidate

	packet  wire.Packet // the one in hand
	buf     *Buf        // its bytes
	side    int         // where it came in
	journey Journey
	seg     conntrack.Segment // the one on its journey
	leaving wire.Packet       // what leaves after it has waited
	gone    wait              // what has waited for it
	part    wire.Packet       // what leaves edited
	left    conntrack.Segment // of leaving or part
	run     run
	after   []pending // what is to leave after the segment in hand
	owed    []wait    // acknowledgments for segments that have left; see acknowledge

	queue     sched.Alarms // of waits, by their places
	alarms    sched.Alarms // of connections, by Conn.Index; see arm
	waits     paged.List[wait]
	freeWaits paged.List[uint32]
	arrivals  uint64

	recordings  map[recordKey]recording
	recordOrder []recordKey // oldest first
	recorded    int         // bytes of their Bufs
	tagNames    []string
	muted       [2]bool
	head        [wire.MaxHeader]byte
	partHead    [wire.MaxHeader]byte // headers of part
	edited      []byte               // its payload, if that is edited
	finds       []uint32             // of the fault replace
	own         wire.Packet          // the segment in hand, once its payload is its own
	scratch     []byte
	out         Emission
	flags       flagNames
	told        Event
	look        Look
}

// A BoxConfig sets up a Box.
type BoxConfig struct {
	Rules *rules.Set // nil: none
	Seed  uint64
	// Output takes what leaves; required.
	Output Output
	// Offload tells of each device whether super-packets and partial checksums may be written to it.
	Offload [2]bool
	// OnEvent is told what happens, in order; nil if nobody listens.
	OnEvent func(*Event)
	// AllEvents: also events of connections that no rule can concern.
	AllEvents bool
	lives     bool // of these, at least how they open, change states and close
	quiet     bool // no events about segments
	// OnLook is told, in order, which rules have looked at a segment, at a moment or at
	// a connection that opens, and which predicate failed first; nil if nobody asks.
	OnLook func(*Look)
	// Tap is shown each segment as one complete packet where its sender has
	// sent it (side of the sender) and where it is delivered (side of the
	// receiver). data is valid until Tap returns. nil if nobody captures.
	Tap func(side int, now time.Duration, data []byte, comment string)
	// Stacks are the hosts behind the two devices.
	Stacks [2]conntrack.Stack
	// MaxConns bounds the connection table; 0 means conntrack.DefaultMax.
	MaxConns int
	// MaxWaitBytes bounds the memory of held and delayed segments; 0 means 256 MiB.
	MaxWaitBytes int
	// Totals is shared with other Boxes that each take some of the connections;
	// nil means that there are none. Boxes that share are made one after the other.
	Totals *Totals
}

const defaultWaitBytes = 256 << 20

// An Emission is a packet that leaves, in one or two parts. It is valid until
// Write returns.
type Emission struct {
	Side   int // the device to write it to
	Header tunnel.Header
	Head   []byte // headers, or the whole packet
	Body   []byte // payload, if it is not part of Head
}

// Output takes what leaves a Box. An error means that the packet has not left;
// it is counted.
type Output interface {
	Write(e *Emission) error
}

// NewBox makes a Box whose clock stands at now.
func NewBox(cfg BoxConfig, now time.Duration) *Box {
	if cfg.MaxWaitBytes == 0 {
		cfg.MaxWaitBytes = defaultWaitBytes
	}
	if cfg.Rules == nil {
		cfg.Rules = &rules.Set{}
	}
	b := &Box{
		cfg:        cfg,
		start:      now,
		now:        now,
		recordings: make(map[recordKey]recording),
		scratch:    make([]byte, 0, tunnel.MaxPacket),
	}
	b.shareTotals(cfg.Totals)
	b.rules = b.compile(cfg.Rules)
	b.table = conntrack.NewTable(conntrack.Config{Max: cfg.MaxConns, Stacks: cfg.Stacks, Observer: b})
	if b.totals.boxes.Add(1) == 1 {
		b.tellRules()
	}
	return b
}

// Buf is room for a packet to be read into; Receive takes it over.
func (b *Box) Buf() *Buf { return b.pool.Get(tunnel.MaxPacket) }

// Receive takes a packet that has come in at the device side. It owns buf from
// here on.
func (b *Box) Receive(now time.Duration, side int, buf *Buf) {
	if at, ok := b.Next(); ok && at <= now {
		b.Advance(now) // what was due before the packet goes before it
	}
	b.now, b.side, b.buf = now, side, buf
	b.stats.Packets[side]++
	b.stats.Bytes[side] += uint64(buf.n)
	why := b.packet.Parse(buf.Bytes(), buf.Header.GSO(), buf.Header.Partial()) // (2)
	switch {
	case b.muted[side]:
		b.stats.Losses[LossMuted] += uint64(max(b.packet.Segments(), 1))
	case why == wire.OK:
		b.track()
	case why == wire.ICMPError:
		b.aboutConnection()
	default:
		b.stats.Others[why]++
		b.passWhole()
	}
	buf.Free()
}

// track finds the connection and takes the packet as a whole if nothing can
// happen to it, else one virtual segment after the other.
func (b *Box) track() {
	b.hastenFor()
	p := &b.packet
	b.seg = conntrack.Read(p)
	b.seg.Set(p.At(0))
	c, d := b.table.Meet(b.now, b.side, p, &b.seg) // (3)
	if c == nil {
		b.stats.Segments += uint64(p.Segments())
		b.stats.Untracked++
		b.passWhole()
		return
	}
	f := b.flowOf(c)
	if f != nil && len(f.moments) > 0 {
		b.stirred(c, f)
	}
	if (f == nil || f.idle() && f.order[d] <= b.now) && !b.watching(f) {
		b.passTracked(c, d)
		if f != nil {
			f.streams[d].note(c.End(d))
		}
		return
	}
	if f == nil {
		f = b.newFlow(c)
	}
	idle := b.now - c.LastSeen()
	for i := b.train(c, d, f); i < p.Segments(); i++ {
		if i > 0 {
			b.seg.Set(p.At(i))
			if len(f.moments) > 0 {
				b.hasten(c) // the segment before it may have brought a moment
			}
		}
		b.segment(c, d, f, i, &b.seg, idle)
		idle = 0
	}
	b.flush()
}

// watching tells whether somebody wants to see segments that no rule looks at.
func (b *Box) watching(f *flow) bool {
	events := b.cfg.AllEvents || f != nil && len(f.moments) > 0
	return events && b.toldOfSegments() || b.cfg.Tap != nil || b.cfg.OnLook != nil
}

// passTracked forwards a packet as it came; the segment in hand is its first. All of them
// move the endpoints together: they are consecutive, and flags that count stand on the last.
func (b *Box) passTracked(c *conntrack.Conn, d conntrack.Dir) {
	p := &b.packet
	b.seg.Flags, b.seg.Len = p.Flags(), uint32(p.PayloadLen())
	b.stats.Segments += uint64(p.Segments())
	b.stats.Verdicts[Pass] += uint64(p.Segments())
	b.stats.Whole++
	b.table.SentOn(b.now, c, d, &b.seg)
	if b.passWhole() {
		b.table.Delivered(b.now, c, d, &b.seg)
	}
}

// passWhole writes the packet in hand byte for byte.
func (b *Box) passWhole() bool {
	b.out = Emission{Side: 1 - b.side, Header: b.buf.Header, Head: b.buf.Bytes()}
	return b.write(&b.out)
}

// segment takes one virtual segment through (3) to (6).
func (b *Box) segment(c *conntrack.Conn, d conntrack.Dir, f *flow, place int, s *conntrack.Segment, idle time.Duration) {
	kinds := b.table.SentOn(b.now, c, d, s)
	j := &b.journey
	*j = Journey{
		Now: b.now, Conn: c, Dir: d, Seg: s, Kinds: kinds, Idle: idle,
		box: b, flow: f, packet: &b.packet, place: place,
		again: kinds.Has(conntrack.KindRetransmission), fired: j.fired[:0],
	}
	b.stats.Segments++
	f.streams[d].note(c.End(d))
	j.times = f.sent[d].note(j)
	b.walk(j)
	b.explain(j)
	b.carryOut(j)
	b.stats.Verdicts[j.verdict]++
	b.release(j)
	if j.verdict == Pass {
		b.overtake(f, d, lastArrival)
	}
	b.emitAfter(j)
}

// walk leads the segment through the rules, from top to bottom (4). Each rule
// that fires acts (5), until an action ends the walk.
func (b *Box) walk(j *Journey) {
	f := j.flow
	if b.swallow(j) {
		return
	}
	for i := range f.rules {
		c := &f.rules[i]
		if c.holding && b.heldBy(j, c.rule) != nil {
			break // it is swallowed below
		}
		if !c.selects(j) {
			continue
		}
		if j.apply(c) {
			break
		}
	}
	if len(f.held) == 0 || j.verdict == Drop || j.verdict == Hold {
		return
	}
	if r := b.heldBy(j, nil); r != nil {
		b.stats.Swallowed++
		j.lose(r, "held")
	} else if leader := b.leaderOf(f, j.Dir, j.Conn.Ordinal()); leader != 0 {
		w := b.waitAt(leader - 1)
		j.verdict, j.hold, j.leader, j.by = Hold, w.hold, leader, w.rule
	}
}

// swallow drops what a black hole, or a hidden death, takes before any rule.
func (b *Box) swallow(j *Journey) bool {
	f := j.flow
	if h := &f.holes[j.Dir]; h.by != nil {
		if h.open(j.Now) {
			j.lose(h.by, "")
			return true
		}
		h.by = nil
	}
	if r := f.hide[j.Dir]; r != nil && j.Kinds.Has(conntrack.KindRst) {
		j.lose(r, "")
		return true
	}
	if f.translation.blocks(j) {
		b.overflow(j, tooManyEdits)
		j.lose(nil, LossQueue.String())
		return true
	}
	return f.lost.by != nil && b.forgotten(j)
}
