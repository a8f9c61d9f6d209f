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

// segments measures what a passing segment costs, and whether it allocates.
func (r *run) segments() {
	n := r.cfg.Alone
	one, many, exact := newSteady(idleRules(1)), newSteady(idleRules(1000)), newSteady(exactRule())
	for range r.cfg.Rounds {
		r.add(oneRule, SegmentCost, float64(one.pass(n))/float64(n))
		r.add(manyRules, SegmentCost, float64(many.pass(n))/float64(n))
		r.add(passingExact, SegmentCost, float64(exact.pass(n))/float64(n))
	}
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

// pass lets n segments through, data and its acknowledgment in turn, and
// returns how long that took.
func (s *steady) pass(n int) time.Duration {
	start := time.Now()
	for range n / 2 {
		s.now += time.Microsecond
		setSeq(s.data, isn+1+s.sent)
		s.sent += pingLen
		setAck(s.ack, isn+1+s.sent)
		receive(s.box, s.now, 0, s.data)
		receive(s.box, s.now, 1, s.ack)
	}
	return time.Since(start)
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
	small, large := newTable(busyConns), newTable(r.cfg.Conns)
	for range r.cfg.Rounds {
		r.add(smallTable, LookupCost, small.find(r.cfg.Alone, busyConns))
		r.add(largeTable(r.cfg.Conns), LookupCost, large.find(r.cfg.Alone, r.cfg.Conns))
		r.add(busyOf(r.cfg.Conns), LookupCost, large.find(r.cfg.Alone, busyConns))
	}
	r.add(distant(r.cfg.Conns), ReadCost, chase(r.cfg.Conns, r.cfg.Alone))
}

// chase measures how long a read takes from one of so many cache lines, when where it
// goes is known by the one before: what a lookup in as large a table waits for at least.
func chase(lines, n int) float64 {
	type line struct {
		next uint32
		_    [60]byte
	}
	all := make([]line, lines)
	order := rand.New(rand.NewPCG(1, 2)).Perm(lines)
	for i, at := range order {
		all[at].next = uint32(order[(i+1)%lines])
	}
	at := uint32(0)
	start := time.Now()
	for range n {
		at = all[at].next
	}
	elapsed := time.Since(start)
	runtime.KeepAlive(at)
	return float64(elapsed) / float64(n)
}

// busyConns is the size of the small table, and of the busy part of the large one.
const busyConns = 1000

func largeTable(n int) string { return grouped(float64(n)) + " connections" }
func busyOf(n int) string     { return "1,000 busy of " + largeTable(n) }
func distant(n int) string    { return grouped(float64(n)) + " cache lines" }

// A filled is a Table with n forged connections.
type filled struct {
	table *conntrack.Table
	n     int
	dice  *rand.Rand
}

func newTable(n int) *filled {
	t := conntrack.NewTable(conntrack.Config{Max: n})
	packets := make([][]byte, 3)
	var p wire.Packet
	for i := range n {
		handshake(packets, i)
		for k, packet := range packets {
			p.Parse(packet, 0, false)
			s := conntrack.Read(&p).With(p.At(0))
			c, d, _ := t.Sent(0, k%2, &p, &s)
			t.Delivered(0, c, d, &s)
		}
	}
	return &filled{t, n, rand.New(rand.NewPCG(1, 2))}
}

// find looks connections up n times, each time one of so many that are busy and
// lie scattered, and returns the nanoseconds of each.
func (f *filled) find(n, busy int) float64 {
	stride := f.n / busy
	start := time.Now()
	for range n {
		client, server := forgedPair(f.dice.IntN(busy) * stride)
		if c, _ := f.table.Find(client, server); c == nil {
			panic("bench: a connection is not in the table")
		}
	}
	return float64(time.Since(start)) / float64(n)
}
