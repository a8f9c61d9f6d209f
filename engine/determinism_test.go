package engine_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// Every sort of decision that is left to chance.
const everyChance = `
[[rule]]
name = "bursts"
match = { from = "server", segment = "!syn-ack" }
probability = { model = "gilbert-elliott", p = 0.2, r = 0.4, loss_good = 0.05, loss_bad = 0.9 }
action = "drop"

[[rule]]
name = "half-of-them"
match = { from = "client", length = 7 }
share = 0.5
action = "drop"

[[rule]]
name = "dice"
match = { from = "client", segment = "data" }
probability = 0.3
action = "drop"

[[rule]]
name = "late"
match = { from = "client", segment = "data+!retransmission" }
action = { delay = { by = "5ms", jitter = "3ms", distribution = "normal", keep_order = false } }

[[rule]]
name = "moment"
at = { age = "20ms" }
probability = 0.5
action = { tag = "old" }
`

// A workload is the same work of some connections, in one of many ways in which it
// may come to pass.
type workload struct {
	ports   uint16 // the first connection's
	boxes   int    // that share it
	rounds  bool   // connections take turns, in place of one after the other
	chatter bool   // bare ACKs in between, and a connection at whose rules nobody looks
	again   bool   // the server's data come twice, later

	worlds   []*world
	totals   engine.Totals
	decided  map[string]string
	sent     map[string]time.Duration
	segments map[string]int
}

const workConns, workSegments = 20, 40

// decisions does the work and returns what was decided on what.
func (l *workload) decisions(t *testing.T) map[string]string {
	t.Helper()
	l.decided, l.sent, l.segments = map[string]string{}, map[string]time.Duration{}, map[string]int{}
	set := mustParse(t, everyChance)
	for range max(l.boxes, 1) {
		l.worlds = append(l.worlds, newWorld(engine.BoxConfig{Rules: set, Seed: 11, OnEvent: l.note, Totals: &l.totals}))
	}
	for c := range workConns {
		l.send(c, handshake(l.port(c))...)
	}
	if l.rounds {
		for i := range workSegments {
			for c := range workConns {
				l.exchange(c, i)
			}
		}
	} else {
		for c := range workConns {
			for i := range workSegments {
				l.exchange(c, i)
			}
		}
	}
	for _, w := range l.worlds {
		w.advance(w.now + time.Second)
	}
	return l.decided
}

func (l *workload) port(conn int) uint16 { return l.ports + uint16(conn)*7 }

// send lets segments of a connection come in, at the Box that has it.
func (l *workload) send(conn int, segments ...segment) {
	w := l.worlds[conn%len(l.worlds)]
	for _, s := range segments {
		s.port = l.port(conn)
		w.advance(w.now + time.Millisecond)
		w.send(s)
	}
}

// exchange is a segment of the client and one of the server.
func (l *workload) exchange(conn, i int) {
	at, size := 1+uint32(i)*10, 10
	if i%10 == 9 {
		size = 7
	}
	up := segment{from: client, flags: wire.ACK, seq: at, ack: 1, size: size}
	down := segment{from: server, flags: wire.ACK, seq: at, ack: 1, size: 10}
	l.send(conn, up, up, down)
	if l.chatter {
		bare := segment{from: server, flags: wire.ACK, seq: at + 10, ack: 1}
		l.send(conn, bare, bare)
	}
	if l.again && i%3 == 2 {
		old := down
		old.seq -= 20
		l.send(conn, old)
	}
}

// note keeps what was decided on the first two transmissions of data, and on a moment.
func (l *workload) note(e *engine.Event) {
	data := fmt.Sprintf("%d %v %d", e.Conn, e.From, e.Seq)
	switch {
	case e.Type == engine.EventSegment && e.Len > 0:
		l.segments[data]++
		n := l.segments[data]
		if e.From == conntrack.FromServer && n > 1 {
			return // only some workloads have these
		}
		if n == 1 {
			l.sent[data] = e.Time
		}
		l.decided[fmt.Sprintf("%s, transmission %d", data, n)] = fmt.Sprint(e.Verdict, e.Rules)
	case e.Type == engine.EventDeliver:
		l.decided[data+" leaves after"] = (e.Time - l.sent[data]).String()
	case e.Type == engine.EventRule && e.Action == "tag":
		l.decided[fmt.Sprintf("%d", e.Conn)] = "old"
	}
}

// Decisions depend on what they are about, and on nothing else.
func TestDecisionsAreKeyed(t *testing.T) {
	want := (&workload{ports: 40000}).decisions(t)
	fates := map[string]int{}
	for _, fate := range want {
		fates[fate]++
	}
	for _, fate := range []string{"drop [bursts]", "drop [half-of-them]", "drop [dice]", "delay [late]", "pass []", "old"} {
		if fates[fate] < 3 {
			t.Errorf("%d of %d met the fate %s: the work shows nothing", fates[fate], len(want), fate)
		}
	}
	for name, l := range map[string]*workload{
		"the same":                    {ports: 40000},
		"other ports":                 {ports: 51234},
		"taking turns":                {ports: 40000, rounds: true},
		"three boxes":                 {ports: 40000, boxes: 3},
		"more ACKs":                   {ports: 40000, chatter: true},
		"retransmissions":             {ports: 40000, again: true},
		"all of this in three boxes":  {ports: 50001, rounds: true, boxes: 3, chatter: true, again: true},
		"all of this in fifteen more": {ports: 33333, rounds: true, boxes: 15, chatter: true, again: true},
	} {
		got := l.decisions(t)
		if !maps.Equal(got, want) {
			t.Errorf("%s: %s", name, firstDifference(got, want))
		}
	}
}

func firstDifference(got, want map[string]string) string {
	for what := range maps.Keys(want) {
		if got[what] != want[what] {
			return fmt.Sprintf("%s: %s, want %s", what, got[what], want[what])
		}
	}
	return fmt.Sprintf("%d decisions, want %d", len(got), len(want))
}

// Two runs of a chain that a segment more has set apart meet again.
func TestBurstsForgetWhatWasBefore(t *testing.T) {
	const rule = `
[[rule]]
match = { from = "client", segment = "data" }
probability = { model = "gilbert-elliott", p = 0.05, r = 0.15 }
action = "drop"`
	run := func(seed uint64, cut bool) (fates []engine.Verdict) {
		w := newWorld(engine.BoxConfig{Rules: mustParse(t, rule), Seed: seed, OnEvent: func(e *engine.Event) {
			if e.Type == engine.EventSegment && e.Len > 0 && e.Seq > 10 {
				fates = append(fates, e.Verdict)
			}
		}})
		w.send(handshake(0)...)
		first := segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10}
		if cut {
			for i := range 10 {
				piece := first
				piece.seq, piece.size = 1+uint32(i), 1
				w.send(piece)
			}
		} else {
			w.send(first)
		}
		for i := range 200 {
			w.send(segment{from: client, flags: wire.ACK, seq: 11 + uint32(i)*10, ack: 1, size: 10})
		}
		return fates
	}
	apart, lost := 0, 0
	for seed := range uint64(200) {
		whole, cut := run(seed, false), run(seed, true)
		for i := range whole {
			if whole[i] != cut[i] {
				apart++
				if i > 100 {
					t.Fatalf("seed %d: still apart after %d segments", seed, i)
				}
			}
			if whole[i] == engine.Drop {
				lost++
			}
		}
	}
	if apart == 0 {
		t.Error("nothing was set apart: the test shows nothing")
	}
	// In the long run P/(P+R) of the steps are bad: 0.25.
	if share := float64(lost) / (200 * 200); share < 0.2 || share > 0.3 {
		t.Errorf("%.3f of the segments are lost, want about 0.25", share)
	}
}
