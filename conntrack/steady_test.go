package conntrack

import (
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// trainLen is how many segments the trains of these tests have.
const trainLen = 5

// train sends a train on one table segment by segment, and on the other as one, if it
// is steady there, which it tells.
func (p *pair) train(who string, size, window uint16, ts byte) bool {
	each, whole := p.labs[0], p.labs[1]
	c, d := whole.find(who)
	if c == nil {
		return false
	}
	x := c.End(d)
	s := Segment{Flags: wire.ACK, Seq: x.Next(), Ack: x.Received(), Len: uint32(size), Window: window, HasTS: ts > 0, TSVal: uint32(ts)}
	kinds, ok := c.Steady(d, &s, trainLen*s.Len)
	if !ok {
		return false
	}
	all := s
	all.Len *= trainLen
	whole.table.SentOn(whole.now, c, d, &all)
	whole.table.Delivered(whole.now, c, d, &all)
	c, d = each.find(who)
	for range trainLen {
		if got := each.table.SentOn(each.now, c, d, &s); got != kinds {
			p.t.Fatalf("a segment of the train is %v, all were to be %v", got, kinds)
		}
		each.table.Delivered(each.now, c, d, &s)
		s.Seq = s.Seq.Add(s.Len)
	}
	p.compare([2]Kinds{})
	return true
}

// FuzzSteady: where a train is called steady it is the same for a connection
// whether it is told of each segment or of all as one, whatever has happened before.
func FuzzSteady(f *testing.F) {
	const (
		c, s     = 0, 1
		both     = 2 << 1
		syn, ack = byte(wire.SYN), byte(wire.ACK)
	)
	add := func(acts ...[actSize]byte) {
		var all []byte
		for _, a := range acts {
			all = append(all, a[:]...)
		}
		f.Add(all)
	}
	open := [][actSize]byte{{c | both, syn, 0, 0, 0, 200, 7}, {s | both, syn | ack, 0, 0, 0, 200, 7}, {c | both, ack, 0, 0, 0, 200, 0}}
	add(open...)
	add(append(open, [actSize]byte{c, ack, 0, 0, 20}, [actSize]byte{s | both, ack, 0, 0, 9, 200, 101})...)
	add([actSize]byte{c | both | 7<<3, ack, 1, 1, 50}, [actSize]byte{s | both, ack})
	f.Fuzz(func(t *testing.T, acts []byte) {
		if len(acts) > 64*actSize {
			return
		}
		p := pair{t, [2]*lab{newLab(t, settings[0]), newLab(t, settings[0])}}
		for len(acts) >= actSize {
			p.act(acts[:actSize])
			p.train("C", uint16(acts[4]), 1000, acts[6])
			p.train("S", uint16(acts[5]), 1000, acts[6])
			acts = acts[actSize:]
		}
	})
}

// Everyday data is steady; what needs a look at each segment is not.
func TestSteady(t *testing.T) {
	const handshake = 3
	acts := [][actSize]byte{
		{0 | 2<<1, byte(wire.SYN), 0, 0, 0, 200, 7}, {1 | 2<<1, byte(wire.SYN | wire.ACK), 0, 0, 0, 200, 7}, {0 | 2<<1, byte(wire.ACK), 0, 0, 0, 200, 0},
	}
	p := pair{t, [2]*lab{newLab(t, settings[0]), newLab(t, settings[0])}}
	for i, a := range acts {
		if p.train("C", 20, 1000, 0) {
			t.Errorf("a train is steady after %d segments of a handshake of %d", i, handshake)
		}
		p.act(a[:])
	}
	if !p.train("C", 20, 1000, 0) || !p.train("S", 20, 1000, 0) || !p.train("C", 20, 1000, 0) {
		t.Error("data on an open connection is not steady")
	}
	if p.train("C", 60000, 1000, 0) {
		t.Error("a train is steady that is wider than the window")
	}
	hole := [actSize]byte{0, byte(wire.ACK), 0, 0, 20}
	p.act(hole[:])
	if p.train("C", 20, 1000, 0) {
		t.Error("a train is steady that comes after a loss")
	}
}
