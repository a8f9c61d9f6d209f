package bench

import (
	"context"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// What is measured without devices: a Box or a Table alone.

// The subjects of these measurements.
const (
	oneRule      = "1 rule on another port"
	manyRules    = "1,000 rules on other ports"
	smallTable   = "1,000 connections"
	passing      = "passing segment"
	passingExact = "passing segment, exact rule"
	tracked      = "tracked connection"
	trackedRule  = "tracked connection, 1 rule on it"
)

// aloneSteps is how many of the progress alone takes.
const aloneSteps = 3

func (r *run) alone(ctx context.Context) error {
	r.step("segments")
	r.segments()
	if err := ctx.Err(); err != nil {
		return err
	}
	r.step("memory")
	r.memory()
	if err := ctx.Err(); err != nil {
		return err
	}
	r.step("lookups")
	r.lookups()
	return nil
}

// A cost is what is measured of a subject: f does something n times.
type cost struct {
	subject string
	f       func(n int)
}

// pieces is into how many a round is cut here, each shorter than what a scheduler gives.
const pieces = 20

// costs measures what one time of each takes, in nanoseconds: the fastest piece of a
// round counts, since whoever disturbs one only makes it slower.
func (r *run) costs(what string, all ...cost) {
	n := r.cfg.Alone / pieces
	for range r.cfg.Rounds {
		fastest := make([]time.Duration, len(all))
		for piece := range pieces {
			for i := range all {
				start := time.Now()
				all[i].f(n)
				if took := time.Since(start); piece == 0 || took < fastest[i] {
					fastest[i] = took
				}
			}
		}
		for i := range all {
			r.add(all[i].subject, what, float64(fastest[i])/float64(n))
		}
	}
}

// segments measures what a passing segment costs, and whether it allocates.
func (r *run) segments() {
	n := r.cfg.Alone
	one, many, exact := newSteady(idleRules(1)), newSteady(idleRules(1000)), newSteady(exactRule())
	r.costs(SegmentCost, cost{oneRule, one.pass}, cost{manyRules, many.pass}, cost{passingExact, exact.pass})
	r.add(passing, Allocations, mallocs(func() { many.pass(n) })/float64(n))
	r.add(passingExact, Allocations, mallocs(func() { exact.pass(n) })/float64(n))
}

// mallocs is how many allocations f makes. Other goroutines count too: those of
// the runtime are few against the many segments of f.
func mallocs(f func()) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}

// A steady is a Box with one connection, whose client sends segment after segment.
type steady struct {
	box       *engine.Box
	data, ack []byte
	sent      uint32
	now       time.Duration
}

// discard is an Output.
type discard struct{}

func (discard) Write(*engine.Emission) error { return nil }

func newSteady(set *rules.Set) *steady {
	s := &steady{
		box:  engine.NewBox(engine.BoxConfig{Rules: set, Output: discard{}}, 0),
		data: dataPacket(0, pingLen),
		ack:  ackPacket(0),
	}
	openConns(s.box, 0, 1)
	s.pass(1000) // whatever is made once has been made
	return s
}

// pass lets n segments through, data and its acknowledgment in turn.
func (s *steady) pass(n int) {
	for range n / 2 {
		s.now += time.Microsecond
		setSeq(s.data, isn+1+s.sent)
		s.sent += pingLen
		setAck(s.ack, isn+1+s.sent)
		receive(s.box, s.now, 0, s.data)
		receive(s.box, s.now, 1, s.ack)
	}
}

// memory measures what a Box keeps for a connection.
func (r *run) memory() {
	r.add(tracked, Memory, bytesOf(idleRules(10), r.cfg.Idle))
	r.add(trackedRule, Memory, bytesOf(exactRule(), r.cfg.Idle))
}

// bytesOf is the heap that a Box takes for each of n connections.
func bytesOf(set *rules.Set, n int) float64 {
	before := heap()
	box := engine.NewBox(engine.BoxConfig{Rules: set, Output: discard{}}, 0)
	openConns(box, 0, n)
	grown := heap() - before
	runtime.KeepAlive(box)
	return float64(grown) / float64(n)
}

// heap is the bytes of live objects.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// lookups compares a table that fits into a cache with one that does not. Any of
// its connections may be the next; or few are busy and the others idle, which
// shows what the table itself costs, and not the memory.
func (r *run) lookups() {
	small, large := newTable(busyConns), r.grow()
	r.costs(LookupCost,
		cost{smallTable, func(n int) { small.find(n, busyConns) }},
		cost{largeTable(r.cfg.Conns), func(n int) { large.find(n, r.cfg.Conns) }},
		cost{busyOf(r.cfg.Conns), func(n int) { large.find(n, busyConns) }})
	r.costs(ReadCost, cost{distant(r.cfg.Conns), newChase(r.cfg.Conns).read})
}

// grow makes the large table, once in each round, and measures the longest that the thread
// was busy with one SYN. What the garbage collector and the kernel had it do is in it.
func (r *run) grow() (t *filled) {
	for range r.cfg.Rounds {
		t = newTable(r.cfg.Conns)
		r.add(growing(r.cfg.Conns), LongestSYN, micros(t.longest))
	}
	return t
}

// A chase is reads of cache lines, each of which tells where the next one goes: what a
// lookup in a table of as many connections waits for at least.
type chase struct {
	lines []cacheLine
	at    uint32
}

type cacheLine struct {
	next uint32
	_    [60]byte
}

func newChase(lines int) *chase {
	c := &chase{lines: make([]cacheLine, lines)}
	order := rand.New(rand.NewPCG(1, 2)).Perm(lines)
	for i, at := range order {
		c.lines[at].next = uint32(order[(i+1)%lines])
	}
	return c
}

func (c *chase) read(n int) {
	for range n {
		c.at = c.lines[c.at].next
	}
}

// busyConns is the size of the small table, and of the busy part of the large one.
const busyConns = 1000

func largeTable(n int) string { return grouped(float64(n)) + " connections" }
func busyOf(n int) string     { return "1,000 busy of " + largeTable(n) }
func growing(n int) string    { return "growing to " + largeTable(n) }
func distant(n int) string    { return grouped(float64(n)) + " cache lines" }

// A filled is a Table with n forged connections, of which it has seen the SYN.
type filled struct {
	table   *conntrack.Table
	n       int
	dice    *rand.Rand
	longest time.Duration // that one SYN kept its thread busy
}

func newTable(n int) *filled {
	f := &filled{table: conntrack.NewTable(conntrack.Config{Max: n}), n: n, dice: rand.New(rand.NewPCG(1, 2))}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	packets := make([][]byte, 3)
	var p wire.Packet
	for i := range n {
		handshake(packets, i)
		p.Parse(packets[0], 0, false)
		s := conntrack.Read(&p)
		s.Set(p.At(0))
		start := threadCPU()
		f.table.Sent(0, 0, &p, &s)
		f.longest = max(f.longest, threadCPU()-start)
	}
	return f
}

// find looks connections up n times, each time one of so many that are busy and
// lie scattered.
func (f *filled) find(n, busy int) {
	stride := f.n / busy
	for range n {
		client, server := forgedPair(f.dice.IntN(busy) * stride)
		if c, _ := f.table.Find(client, server); c == nil {
			panic("bench: a connection is not in the table")
		}
	}
}
