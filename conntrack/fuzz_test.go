package conntrack

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// An act is one step of a fuzzed connection: seven bytes.
//
//	0  what is done: bit 0 who, bits 1-2 sent, delivered, both or forged, bits 3-5 how long before
//	1  flags
//	2  sequence number: small numbers around what the sender and receiver have
//	3  acknowledgment: the same
//	4  payload length
//	5  window
//	6  timestamp, and in a SYN the scale
const actSize = 7

// pair plays the same acts on two tables that differ in what must not matter: the
// device and the end of the key that each host has.
type pair struct {
	t    *testing.T
	labs [2]*lab
}

// FuzzInvariants: whatever is sent and delivered, nothing panics, the numbers stay in
// order, states move along the arrows of doc.go or say why not, and
// hosts in each other's place fare the same.
func FuzzInvariants(f *testing.F) {
	add := func(acts ...[actSize]byte) {
		var all []byte
		for _, a := range acts {
			all = append(all, a[:]...)
		}
		f.Add(all)
	}
	const (
		c, s        = 0, 1
		both, forge = 2 << 1, 3 << 1
		syn, ack    = byte(wire.SYN), byte(wire.ACK)
		fin, rst    = byte(wire.FIN), byte(wire.RST)
	)
	open := [][actSize]byte{
		{c | both, syn, 0, 0, 0, 200, 7},
		{s | both, syn | ack, 0, 0, 0, 200, 7},
		{c | both, ack, 0, 0, 0, 200, 0},
	}
	add(append(open, [actSize]byte{c | both, fin | ack, 0, 0, 9}, [actSize]byte{s | both, fin | ack}, [actSize]byte{c | both, ack})...)
	add(append(open, [actSize]byte{c, fin | ack}, [actSize]byte{s, fin | ack}, [actSize]byte{c | 1<<1, fin | ack}, [actSize]byte{s | 1<<1, fin | ack})...)
	add(append(open, [actSize]byte{c | both, ack, 3, 0, 20}, [actSize]byte{c | both, ack, 5, 0, 20}, [actSize]byte{c | both, ack, 0, 0, 200})...)
	add(append(open, [actSize]byte{c | forge, rst, 128}, [actSize]byte{c | both, syn, 60}, [actSize]byte{s | both, ack}, [actSize]byte{c | both, rst})...)
	add([actSize]byte{c, syn}, [actSize]byte{s, syn}, [actSize]byte{c | 1<<1, syn}, [actSize]byte{s | 1<<1, syn}, [actSize]byte{c | both, syn | ack}, [actSize]byte{s | both, syn | ack})
	add([actSize]byte{c | both | 7<<3, ack, 1, 1, 50}, [actSize]byte{s | both, ack}, [actSize]byte{s | both, syn})

	f.Fuzz(func(t *testing.T, acts []byte) {
		if len(acts) > 64*actSize {
			return
		}
		p := pair{t, [2]*lab{newLab(t, settings[0]), newLab(t, settings[1])}}
		for len(acts) >= actSize {
			p.act(acts[:actSize])
			acts = acts[actSize:]
		}
	})
}

// pauses before an act: at once, within a crossing, beyond it, beyond the timers.
var pauses = [8]time.Duration{0, 0, 0, time.Millisecond, 150 * time.Millisecond, 2 * time.Second, 70 * time.Second, 5 * time.Minute}

func (p *pair) act(a []byte) {
	var kinds [2]Kinds
	for i, l := range p.labs {
		l.moves = l.moves[:0]
		l.pass(pauses[a[0]>>3&7])
		who := [2]string{"C", "S"}[a[0]&1]
		s := l.aim(who, a)
		if how := a[0] >> 1 & 3; how == 0 || how == 2 {
			packet, _ := packet(p.t, l.hosts[who].addr, l.hosts[other(who)].addr, s.Flags, uint32(s.Seq), uint32(s.Ack), int(s.Len))
			_, _, kinds[i] = l.table.Sent(l.now, l.hosts[who].side, &packet, &s)
			if how == 2 {
				l.deliver(who, &s)
			}
		} else {
			l.deliver(who, &s)
		}
		if l.wrong != "" {
			p.t.Fatalf("not an arrow of doc.go: %s", l.wrong)
		}
		if c, _ := l.find("C"); c != nil {
			if problem := unsound(c); problem != "" {
				p.t.Fatal(problem)
			}
		}
	}
	p.compare(kinds)
}

// aim makes a segment near what matters: small steps from the numbers in use.
func (l *lab) aim(who string, a []byte) Segment {
	s := Segment{Flags: wire.Flags(a[1]), Len: uint32(a[4]), Window: binary.BigEndian.Uint16(a[4:6])}
	if a[6] > 100 {
		s.HasTS, s.TSVal = true, uint32(a[6])
	} else if s.has(wire.SYN) && a[6] > 0 {
		s.HasScale, s.Scale = true, a[6]
	}
	if s.has(wire.SYN) {
		s.Len = 0
	}
	base, peer := l.hosts[who].isn, l.hosts[other(who)].isn
	if c, d := l.find(who); c != nil {
		x, y := c.End(d), c.End(d.Peer())
		base, peer = x.Next(), x.Received()
		if a[2]&1 == 1 {
			base = y.Received() // where the receiver is, not the sender
		}
		if a[3]&1 == 1 {
			peer = y.Next()
		}
	}
	s.Seq = base.Add(steps(a[2] >> 1))
	s.Ack = peer.Add(steps(a[3] >> 1))
	return s
}

// steps are mostly none, often small, at times wide.
func steps(b byte) uint32 {
	switch {
	case b < 32:
		return uint32(b)
	case b < 64:
		return 31 - uint32(b)
	case b < 96:
		return uint32(b) * 1000
	}
	return uint32(b) << 25
}

// compare holds the two tables against each other.
func (p *pair) compare(kinds [2]Kinds) {
	p.t.Helper()
	a, b := p.labs[0], p.labs[1]
	if kinds[0] != kinds[1] {
		p.t.Fatalf("kinds: %v, and in each other's place %v", kinds[0], kinds[1])
	}
	if !slices.Equal(a.moves, b.moves) {
		p.t.Fatalf("what happened:\n%s\nand in each other's place:\n%s", strings.Join(a.moves, "\n"), strings.Join(b.moves, "\n"))
	}
	ca, da := a.find("C")
	cb, db := b.find("C")
	if (ca == nil) != (cb == nil) || da != db {
		p.t.Fatalf("found %p %v, and in each other's place %p %v", ca, da, cb, db)
	}
	if ca != nil && ca.ends != cb.ends {
		p.t.Fatalf("endpoints:\n%+v\nand in each other's place:\n%+v", ca.ends, cb.ends)
	}
}
