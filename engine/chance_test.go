package engine_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

const dice = `
[[rule]]
name = "dice"
match = { from = "client", segment = "data" }
probability = 0.3
action = "drop"`

// throw sends data segments, each twice, and returns what became of each
// transmission. The how manieth connection is asked for decides which it is.
func throw(t *testing.T, seed uint64, segments int, around func(w *world, i int), port uint16) map[string]engine.Verdict {
	t.Helper()
	got := map[string]engine.Verdict{}
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, dice), Seed: seed, OnEvent: func(e *engine.Event) {
		if e.Type == engine.EventSegment && e.Len > 0 && e.Conn == 1 {
			key := fmt.Sprintf("%d once", e.Seq)
			if _, again := got[key]; again {
				key = fmt.Sprintf("%d again", e.Seq)
			}
			got[key] = e.Verdict
		}
	}})
	w.send(handshake(port)...)
	for i := range segments {
		s := segment{from: client, port: port, flags: wire.ACK, seq: 1 + uint32(i)*10, ack: 1, size: 10}
		around(w, i)
		w.send(s, s)
	}
	return got
}

// Another ephemeral port, more ACKs, or another connection between change no decision.
func TestChanceIsTheSegments(t *testing.T) {
	const segments = 200
	want := throw(t, 7, segments, func(*world, int) {}, 0)
	tests := []struct {
		name   string
		port   uint16
		around func(w *world, i int)
	}{
		{"another port", 50123, func(*world, int) {}},
		{"more acknowledgments", 0, func(w *world, i int) {
			w.send(segment{from: client, flags: wire.ACK, seq: 1 + uint32(i)*10, ack: 1})
			w.send(segment{from: server, flags: wire.ACK, seq: 1, ack: 1 + uint32(i)*10})
		}},
		{"another connection", 0, func(w *world, i int) {
			if i == 0 {
				w.send(handshake(41000)...)
			}
			w.send(segment{from: client, port: 41000, flags: wire.ACK, seq: 1 + uint32(i)*10, ack: 1, size: 10})
		}},
	}
	for _, tt := range tests {
		if got := throw(t, 7, segments, tt.around, tt.port); !maps.Equal(got, want) {
			t.Errorf("%s changed what became of segments", tt.name)
		}
	}
	if got := throw(t, 8, segments, func(*world, int) {}, 0); maps.Equal(got, want) {
		t.Error("another seed changed nothing")
	}
}

// The dice are fair: over many segments the share is what the rule says, in
// what is sent once and in what is sent again, and neighbours do not depend on each other.
func TestChanceIsFair(t *testing.T) {
	const seeds, segments, p = 50, 200, 0.3
	dropped, both, runs := map[bool]int{}, 0, 0
	for seed := range uint64(seeds) {
		got := throw(t, seed, segments, func(*world, int) {}, 0)
		before := false
		for i := range segments {
			once := got[fmt.Sprintf("%d once", 1+i*10)] == engine.Drop
			again := got[fmt.Sprintf("%d again", 1+i*10)] == engine.Drop
			count(dropped, once, again)
			if once && again {
				both++
			}
			if once && before {
				runs++
			}
			before = once
		}
	}
	const n = seeds * segments
	near := func(what string, got int, p float64) {
		if d := math.Abs(float64(got) - n*p); d > 5*math.Sqrt(n*p*(1-p)) {
			t.Errorf("%s: %d of %d, want about %.0f", what, got, n, n*p)
		}
	}
	near("first transmissions", dropped[false], p)
	near("second transmissions", dropped[true], p)
	near("both transmissions", both, p*p)
	near("neighbours", runs, p*p)
}

func count(dropped map[bool]int, once, again bool) {
	if once {
		dropped[false]++
	}
	if again {
		dropped[true]++
	}
}

// However many segments are sent again, and however often, each transmission throws its own
// dice: those that it throws where nothing else is sent again.
func TestChanceCountsEveryTransmission(t *testing.T) {
	const segments, times = 100, 5
	verdicts := func(again func(i int) bool) (got [segments][]engine.Verdict) {
		w := newWorld(engine.BoxConfig{Rules: mustParse(t, dice), Seed: 7, OnEvent: func(e *engine.Event) {
			if e.Type == engine.EventSegment && e.Len > 0 {
				got[e.Seq/10] = append(got[e.Seq/10], e.Verdict)
			}
		}})
		w.send(handshake(0)...)
		for range times {
			for i := range segments {
				if len(got[i]) == 0 || again(i) {
					w.send(segment{from: client, flags: wire.ACK, seq: 1 + uint32(i)*10, ack: 1, size: 10})
				}
			}
		}
		return got
	}
	all := verdicts(func(int) bool { return true })
	for _, one := range []int{0, 42, segments - 1} {
		alone := verdicts(func(i int) bool { return i == one })
		if want := alone[one]; !slices.Equal(all[one], want) {
			t.Errorf("segment %d among many that are sent again: %v, alone: %v", one, all[one], want)
		}
	}
}
