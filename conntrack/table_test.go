package conntrack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

var server = netip.MustParseAddrPort("10.77.2.1:8080")

// clientAddr is the n-th of many clients.
func clientAddr(n int) netip.AddrPort {
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], 10<<24|uint32(n/50000))
	return netip.AddrPortFrom(netip.AddrFrom4(ip), uint16(10000+n%50000))
}

// packet makes a segment without options.
func packet(t testing.TB, src, dst netip.AddrPort, flags wire.Flags, n, ack uint32, size int) (p wire.Packet, s Segment) {
	b := wire.Build{Src: src, Dst: dst, Flags: flags, Seq: n, Ack: ack, Window: 1000, Payload: make([]byte, size)}
	if why := p.Parse(b.Append(nil), 0, false); why != wire.OK {
		t.Fatal(why)
	}
	return p, segmentOf(&p)
}

// segmentOf is the segment that a packet is.
func segmentOf(p *wire.Packet) Segment {
	s := Read(p)
	s.Set(p.At(0))
	return s
}

// crowd opens connections by the dozen.
type crowd struct {
	t     testing.TB
	table *Table
	now   time.Duration
	first *wire.Packet // a SYN, whose source is changed in place
}

// from is the SYN of the n-th client.
func (cr *crowd) from(n int) (*wire.Packet, *Segment) {
	if cr.first == nil {
		p, _ := packet(cr.t, clientAddr(0), server, wire.SYN, 1000, 0, 0)
		cr.first = &p
	}
	addr := clientAddr(n)
	ip := addr.Addr().As4()
	copy(cr.first.Data()[12:16], ip[:])
	binary.BigEndian.PutUint16(cr.first.Data()[20:22], addr.Port())
	s := segmentOf(cr.first)
	return cr.first, &s
}

func (cr *crowd) syn(n int) *Conn {
	p, s := cr.from(n)
	c, d, _ := cr.table.Sent(cr.now, 0, p, s)
	cr.table.Delivered(cr.now, c, d, s)
	return c
}

func (cr *crowd) send(c *Conn, d Dir, flags wire.Flags, n, ack uint32) {
	s := Segment{Flags: flags, Seq: seq.Num(n), Ack: seq.Num(ack), Window: 1000}
	cr.table.SentOn(cr.now, c, d, &s)
	cr.table.Delivered(cr.now, c, d, &s)
}

func (cr *crowd) open(n int) *Conn {
	c := cr.syn(n)
	cr.send(c, FromServer, wire.SYN|wire.ACK, 5000, 1001)
	cr.send(c, FromClient, wire.ACK, 1001, 5001)
	return c
}

// TestGrowthAndBack fills a table in steps, empties it in another order, and finds
// every connection at its place, and no other, all the while; also where next to
// nothing of a hash finds room beside an index.
func TestGrowthAndBack(t *testing.T) {
	for _, most := range []int{0, mostConns} {
		growAndShrink(t, NewTable(Config{Max: most}))
	}
}

func growAndShrink(t *testing.T, table *Table) {
	const most = 200_000
	cr := &crowd{t: t, table: table, now: time.Second}
	check := func(from, to int, want bool) {
		t.Helper()
		for n := from; n < to; n += 97 {
			c, d := cr.table.Find(clientAddr(n), server)
			if (c != nil) != want {
				t.Fatalf("connection %d: found %v, want %v", n, c != nil, want)
			}
			if want && (d != FromClient || c.Client() != clientAddr(n) || c.Server() != server || c.Ordinal() != uint64(n+1)) {
				t.Fatalf("connection %d: got %v > %v, %v, ordinal %d", n, c.Client(), c.Server(), d, c.Ordinal())
			}
			if back, d := cr.table.Find(server, clientAddr(n)); back != c || want && d != FromServer {
				t.Fatalf("connection %d from the server: got %p %v, want %p", n, back, d, c)
			}
		}
	}
	for n := range most {
		cr.syn(n)
		if n%20_000 == 0 {
			check(0, n, true)
		}
	}
	check(0, most, true)
	check(most, most+10_000, false)
	for n := range most / 2 { // from the middle of the buckets
		c, _ := cr.table.Find(clientAddr(most/2+n), server)
		cr.table.remove(c)
		if n%20_000 == 0 {
			check(0, most/2, true)
			check(most/2, most/2+n, false)
		}
	}
	check(0, most/2, true)
	chunks := len(cr.table.chunks)
	for n := range most / 2 {
		c, _ := cr.table.Find(clientAddr(n), server)
		cr.table.remove(c)
	}
	if cr.table.Len() != 0 {
		t.Errorf("left: %d", cr.table.Len())
	}
	for range cr.table.All {
		t.Fatal("All still finds one")
	}
	for n := range 1000 {
		cr.syn(most + n)
	}
	if got := len(cr.table.chunks); got != chunks {
		t.Errorf("grew from %d to %d chunks with room to spare", chunks, got)
	}
}

// TestBucket fills one bucket beyond its slots, by hand, as hashes rarely meet, and
// takes connections out of it in several orders.
func TestBucket(t *testing.T) {
	const n = bucketSlots + 4
	orders := map[string]func(i int) int{
		"first in, first out": func(i int) int { return i },
		"last in, first out":  func(i int) int { return n - 1 - i },
		"mixed":               func(i int) int { return i * 7 % n },
	}
	for name, order := range orders {
		table := NewTable(Config{})
		b := table.bucket(0)
		var all []*Conn
		for range n {
			c := table.take()
			*c = Conn{index: c.index}
			table.put(b, 0, c)
			all = append(all, c)
		}
		for i := range n {
			table.takeOut(b, all[order(i)])
			if left := b.len(table); left != n-1-i {
				t.Fatalf("%s: %d left after %d", name, left, i+1)
			}
		}
	}
}

// len is how many connections are in the bucket.
func (b *bucket) len(t *Table) (n int) {
	for _, s := range b.slots {
		if s != 0 {
			n++
		}
	}
	for i := b.more; i != 0; i = t.at(i).next {
		n++
	}
	return n
}

// evictions is an Observer that writes down who had to go.
type evictions struct {
	nobody
	gone []uint64
	why  []Reason
}

func (e *evictions) Closed(c *Conn, why Reason) {
	if why == Evicted {
		e.gone = append(e.gone, c.Ordinal())
	}
	e.why = append(e.why, why)
}

// TestEviction: closed ones go first and were reported before, then half-open
// ones, then the idle; never more than Max are kept.
func TestEviction(t *testing.T) {
	seen := &evictions{}
	cr := &crowd{t: t, table: NewTable(Config{Max: 6, Observer: seen}), now: time.Second}
	var conns []*Conn
	for n := range 4 {
		conns = append(conns, cr.open(n)) // ordinals 1 to 4
		cr.now += time.Second
	}
	cr.send(cr.syn(4), FromServer, wire.SYN|wire.ACK, 5000, 1001) // ordinal 5 stays half-open
	closed := cr.open(5)
	cr.send(closed, FromClient, wire.RST, 1001, 0)
	cr.now += time.Second
	cr.send(conns[0], FromClient, wire.ACK, 1001, 5001) // the oldest is active again
	cr.send(conns[2], FromClient, wire.ACK, 1001, 5001)

	for n := range 5 {
		cr.now += time.Second
		cr.open(10 + n)
		if got := cr.table.Len(); got != 6 {
			t.Fatalf("after %d more: %d connections", n+1, got)
		}
	}
	// The closed one left in silence; then 5, then the idle: 2 and 4. Those that were active
	// since, 1 and 3, have another round, and 7 was idle for longer than the rest.
	if want := []uint64{5, 2, 4, 7}; !slices.Equal(seen.gone, want) {
		t.Errorf("evicted: got %v, want %v", seen.gone, want)
	}
	if want := []Reason{Ended, Evicted, Evicted, Evicted, Evicted}; !slices.Equal(seen.why, want) {
		t.Errorf("reported: got %v, want %v", seen.why, want)
	}
}

// TestSupersede: a new incarnation needs no room of its own.
func TestSupersede(t *testing.T) {
	seen := &evictions{}
	cr := &crowd{t: t, table: NewTable(Config{Max: 2, Observer: seen}), now: time.Second}
	cr.open(0)
	cr.open(1)
	for i := range uint32(5) {
		p, s := packet(t, clientAddr(0), server, wire.SYN, 9000+i, 0, 0)
		c, _, _ := cr.table.Sent(cr.now, 0, &p, &s)
		if c.Incarnation() != int(i)+2 {
			t.Errorf("incarnation: got %d, want %d", c.Incarnation(), i+2)
		}
	}
	if len(seen.gone) != 0 || cr.table.Len() != 2 || cr.table.Opened() != 7 {
		t.Errorf("evicted %v, %d left, %d opened", seen.gone, cr.table.Len(), cr.table.Opened())
	}
}

// TestSize: what a connection costs, its share of the buckets and one pending
// timer included.
func TestSize(t *testing.T) {
	const limit = 512
	share := unsafe.Sizeof(bucket{}) / bucketLoad
	timer := unsafe.Sizeof(struct {
		due     time.Duration
		arrival uint64
		value   uint32
	}{})
	if got := unsafe.Sizeof(Conn{}) + share + timer; got > limit {
		t.Errorf("got %d bytes, want at most %d", got, limit)
	}
	const line = 64
	if got := unsafe.Sizeof(bucket{}); got != line {
		t.Errorf("a bucket has %d bytes, a cache line has %d", got, line)
	}
	if got := unsafe.Sizeof(Conn{}) % line; got != 0 {
		t.Errorf("a Conn ends %d bytes into a cache line", got)
	}
	if got := unsafe.Offsetof(Conn{}.next) + unsafe.Sizeof(Conn{}.next); got > line {
		t.Errorf("a lookup reads the first %d bytes of a Conn, want at most %d", got, line)
	}
}

// passing is an exchange of data and ACK on an open connection.
type passing struct {
	crowd
	there, back wire.Packet
}

func newPassing(t testing.TB, others int) *passing {
	ps := &passing{crowd: crowd{t: t, table: NewTable(Config{}), now: time.Second}}
	for n := range others {
		ps.open(n)
	}
	ps.there, _ = packet(t, clientAddr(0), server, wire.ACK|wire.PSH, 1001, 5001, 100)
	ps.back, _ = packet(t, server, clientAddr(0), wire.ACK, 5001, 1101, 0)
	return ps
}

// exchange sends a data segment and its ACK, both delivered.
func (ps *passing) exchange(i uint32) {
	ps.now += time.Microsecond
	for _, side := range []int{0, 1} {
		p := &ps.there
		if side == 1 {
			p = &ps.back
		}
		s := segmentOf(p)
		if side == 0 {
			s.Seq = s.Seq.Add(i * 100)
		} else {
			s.Ack = s.Ack.Add(i * 100)
		}
		c, d, _ := ps.table.Sent(ps.now, side, p, &s)
		ps.table.Delivered(ps.now, c, d, &s)
	}
}

func TestPassingAllocatesNothing(t *testing.T) {
	ps := newPassing(t, 1)
	i := uint32(0)
	if got := testing.AllocsPerRun(1000, func() { ps.exchange(i); i++ }); got != 0 {
		t.Errorf("got %v allocations", got)
	}
	c, _ := ps.table.Find(clientAddr(0), server)
	if want := seq.Num(1001 + 100*i); c.End(FromServer).Received() != want || c.End(FromClient).Unacked() != want {
		t.Errorf("the exchange did not take place: got %d, want %d", c.End(FromServer).Received(), want)
	}
}

func BenchmarkTrack(b *testing.B) {
	ps := newPassing(b, 1)
	i := uint32(0)
	for b.Loop() {
		ps.exchange(i)
		i++
	}
	b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}

func BenchmarkLookup(b *testing.B) {
	for name, size := range map[string]int{"1e3": 1_000, "1e6": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			cr := &crowd{t: b, table: NewTable(Config{}), now: time.Second}
			for n := range size {
				cr.syn(n)
			}
			at := 0
			for b.Loop() {
				if c, _ := cr.table.Find(clientAddr(at), server); c == nil {
					b.Fatal("lost")
				}
				at = (at + 7919) % size // a prime: no neighbours
			}
		})
	}
}

// BenchmarkGrowth grows to a million connections and reports the longest that one
// SYN had to wait. The garbage collector's share is in it.
func BenchmarkGrowth(b *testing.B) {
	const size = 1_000_000
	var worst time.Duration
	for b.Loop() {
		cr := &crowd{t: b, table: NewTable(Config{}), now: time.Second}
		for n := range size {
			p, s := cr.from(n)
			start := time.Now()
			cr.table.Sent(cr.now, 0, p, s)
			worst = max(worst, time.Since(start))
		}
		if cr.table.Len() != size {
			b.Fatal(cr.table.Len())
		}
	}
	b.ReportMetric(float64(worst.Microseconds()), "worst-µs")
}
