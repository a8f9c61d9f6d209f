package engine_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// equivalenceRules are faults of each kind that look at single segments.
var equivalenceRules = []string{
	`match = { segment = "data" }
	probability = 0.3
	action = "drop"`,
	`match = { segment = "data", from = "client" }
	nth = ["2", "5-6", ">=20"]
	action = "drop"`,
	`match = { segment = "data" }
	every = 3
	action = { delay = { by = "3ms", jitter = "3ms", keep_order = false } }`,
	`match = { segment = "data" }
	every = 4
	action = { delay = "2ms" }`,
	`match = { segment = "data" }
	every = 3
	action = { delay = "0s" }`,
	`match = { segment = "data" }
	probability = 0.2
	action = { duplicate = { copies = 2, after = "1ms" } }`,
	`match = { segment = "data+!retransmission" }
	every = 5
	action = { hold = { until = "next", timeout = "10ms" } }`,
	`match = { segment = "data+retransmission" }
	count = 4
	action = "drop"`,
	`match = { segment = "out-of-order" }
	action = { tag = "holed" }`,
	`match = { tag = "holed", segment = "ack" }
	action = { delay = "500us" }`,
	`match = { segment = "data", length = ">600" }
	probability = { model = "gilbert-elliott", p = 0.1, r = 0.5, loss_good = 0.0, loss_bad = 0.9 }
	action = "drop"`,
	`match = { segment = "data", length = "700" }
	every = 7
	action = { hold = { until = "peer-data", timeout = "4ms", behind = true } }`,
	`match = { idle = ">=1ms", segment = "data" }
	action = { delay = { by = "7ms", keep_order = false } }`,
	`match = { segment = "fin" }
	action = { hold = { until = "peer-fin", timeout = "20ms" } }`,
	`match = { segment = "data" }
	nth = 11
	action = { reset = { to = "both", seq = "in-window" } }`,
	`match = { segment = "data", from = "server" }
	nth = 8
	action = { blackhole = { from = "server", for = "5ms" } }`,
	`match = { segment = "data" }
	nth = 3
	actions = [{ record = "x" }, { replay = { name = "x", after = "2ms" } }]`,
	`match = { segment = "data" }
	every = 2
	action = { rewrite = { window = 0, ttl = 7, clear = "P" } }`,
	`match = { segment = "data" }
	probability = 0.2
	actions = [{ rewrite = { set = "P", truncate = 300 } }, { duplicate = { after = "1ms" } }]`,
	`match = { segment = "syn" }
	action = { rewrite = { shift_seq = -4000, shift_timestamp = 5 } }`,
	`match = { segment = "data", from = "server" }
	nth = 4
	action = { rewrite = { shift_seq = 4000 } }`,
	`match = { segment = "data" }
	every = 3
	action = { split = 200 }`,
	`match = { segment = "data" }
	every = 3
	action = { split = { size = 300, apart = "1ms" } }`,
	`match = { segment = "data" }
	probability = 0.3
	action = { corrupt = { bytes = 2 } }`,
	`match = { segment = "data" }
	probability = 0.3
	action = { corrupt = { bytes = 2, where = "header", checksum = "keep" } }`,
	`match = { segment = "data" }
	action = { replace = { find = "A", with = "BCD" } }`,
	`match = { segment = "data" }
	action = { replace = { find = "A" } }`,
	`match = { segment = "data" }
	every = 2
	action = { replace = { find = "A", with = "B" } }`,
	`match = { segment = "data" }
	nth = 6
	action = { fin = "client" }`,
	`match = { segment = "data" }
	nth = ["4", "9"]
	actions = [
		{ inject = { to = "client", data = "put in", after = "1ms" } },
		{ inject = { to = "server", flags = "PA", data = "put in" } },
	]`,
	`match = { from = "client" }
	action = { rate = { limit = "3MB/s", burst = "2KiB", queue = "16KiB" } }`,
	`match = { segment = "data" }
	every = 2
	action = { rate = { limit = "2MB/s", shared = true } }`,
	`match = { segment = "data" }
	every = 6
	action = { reorder = { behind = 3, timeout = "3ms" } }`,
	`match = { offset = "contains 5000" }
	action = { delay = "1ms" }`,
	`match = { offset = ">=9000", segment = "data" }
	count = 3
	action = { duplicate = 1 }`,
	`match = { payload_hex = "0a 11 18 1f" }
	action = { tag = "holed" }`,
	`match = { segment = "data" }
	total = 9
	action = "drop"`,
	`match = { not_tag = "holed", segment = "data", length = 700 }
	nth = ">=15"
	actions = [{ tag = "holed" }, { hold = { until = "peer-data", timeout = "5ms" } }]`,
	`match = { segment = "data+retransmission" }
	actions = [{ icmp = "host-unreachable" }, "drop"]`,
	`match = { segment = "data" }
	nth = 30
	action = { forget = "rst-both" }`,
	`match = { segment = "data", from = "server" }
	every = 9
	action = { hold = { timeout = "2ms", behind = true } }`,
	`match = { segment = "ack" }
	probability = 0.5
	action = { hold = { until = "next", timeout = "30ms" } }`,
	`at = { idle = "2ms" }
	count = 3
	action = { inject = { to = "client", data = "quiet" } }`,
	`at = { age = "15ms" }
	action = { blackhole = { from = "client", for = "4ms" } }`,
	`match = { client_state = "FIN_WAIT_1" }
	action = { delay = "1ms" }`,
	`match = { age = ">=5ms", idle = ">=500us" }
	count = 2
	action = { fin = "server" }`,
}

// pickRules makes a file of a few of them.
func pickRules(t *testing.T, r *rand.Rand) *rules.Set {
	var text bytes.Buffer
	for i := range 1 + r.IntN(4) {
		fmt.Fprintf(&text, "[[rule]]\nname = \"r%d\"\n%s\n", i, equivalenceRules[r.IntN(len(equivalenceRules))])
	}
	return mustParse(t, text.String())
}

// A load is a packet and when it comes in.
type load struct {
	at time.Duration
	segment
}

// randomLoad is a connection with much data in both directions, some of it
// sent again, and an end.
func randomLoad(r *rand.Rand) (all []load) {
	var now time.Duration
	add := func(s segment) { all = append(all, load{now, s}) }
	for _, s := range handshake(0) {
		add(s)
	}
	const gso = 700
	next, id := [2]uint32{1, 1}, [2]uint16{}
	for range 10 + r.IntN(20) {
		now += time.Duration(r.IntN(3000)) * time.Microsecond
		from := r.IntN(2)
		s := segment{from: from, flags: wire.ACK, seq: next[from], ack: next[1-from], id: id[from]}
		switch r.IntN(6) {
		case 0: // a bare acknowledgment
		case 1:
			s.size = 1 + r.IntN(600)
		case 2: // sent again, not all of it
			s.seq = 1 + uint32(r.IntN(int(next[from])))
			s.size, s.gso = gso*2+1+r.IntN(3*gso), gso
		default:
			s.size, s.gso, s.flags = gso+1+r.IntN(20*gso), gso, wire.ACK|wire.PSH
		}
		id[from] += 30
		next[from] = max(next[from], s.seq+uint32(s.size))
		add(s)
	}
	for from := range 2 {
		add(segment{from: from, flags: wire.ACK | wire.FIN, seq: next[from], ack: next[1-from], size: 1500, gso: gso, id: id[from]})
	}
	return all
}

// A record is what came out of a load.
type record struct {
	events [][]byte
	left   []left
	stats  engine.Stats
	report []engine.RuleReport
}

// play plays a load, whole or with its super-packets cut into segments before they come in.
func (w *world) play(loads []load, cut bool) {
	for _, l := range loads {
		w.advance(l.at)
		data, h := l.packet()
		if !cut {
			w.receive(l.from, h, data)
			continue
		}
		var p wire.Packet
		p.Parse(data, h.GSO(), h.Partial())
		for i := range p.Segments() {
			w.receive(l.from, tunnel.Header{}, p.Materialize(i, nil))
		}
	}
	w.advance(time.Hour)
}

// Nobody can tell from a result whether the kernel handed over super-packets:
// the same events, and the same segments at the same times.
func TestOffloadChangesNothing(t *testing.T) {
	var atOnce, segments uint64
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		set, loads := pickRules(t, r), randomLoad(r)
		for _, watched := range []bool{true, false} {
			whole := playLoad(set, seed, loads, false, watched)
			cut := playLoad(set, seed, loads, true, watched)
			if err := cmp.Or(cut.differsFrom(whole), cut.leftover(), whole.leftover()); err != "" {
				t.Fatalf("seed %d, watched %t: %s\nrules: %+v", seed, watched, err, set.Rules)
			}
			atOnce += whole.stats.AtOnce
			segments += whole.stats.Segments
		}
	}
	if atOnce < segments/50 {
		t.Errorf("of %d segments only %d were judged at once: the test has not tested that", segments, atOnce)
	}
}

// A moment that one segment brings comes before the next one, though both are of one super-packet.
func TestMomentWithinSuperPacket(t *testing.T) {
	set := mustParse(t, `
[[rule]]
name = "kill"
match = { segment = "data" }
nth = 2
action = { reset = "client" }
[[rule]]
name = "at-once"
at = { state = "CLOSED", of = "client", for = "0s" }
action = { blackhole = "client" }`)
	var loads []load
	for _, s := range append(handshake(0), segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 3500, gso: 700}) {
		loads = append(loads, load{0, s})
	}
	for _, watched := range []bool{true, false} {
		whole, cut := playLoad(set, 1, loads, false, watched), playLoad(set, 1, loads, true, watched)
		if err := cut.differsFrom(whole); err != "" {
			t.Errorf("watched %t: %s", watched, err)
		}
		if dropped := whole.stats.Verdicts[engine.Drop]; dropped != 3 {
			t.Errorf("watched %t: %d segments were dropped, want those behind the one that killed", watched, dropped)
		}
	}
}

func playLoad(set *rules.Set, seed uint64, loads []load, cut, watched bool) record {
	var rec record
	cfg := engine.BoxConfig{Rules: set, Seed: seed, Offload: [2]bool{true, true}}
	if watched {
		cfg.AllEvents = true
		cfg.OnEvent = func(e *engine.Event) { rec.events = append(rec.events, e.AppendJSON(nil)) }
	}
	w := newWorld(cfg)
	w.play(loads, cut)
	rec.left, rec.stats, rec.report = w.left, w.Stats(), w.Report()
	return rec
}

// differsFrom says what is different, if anything is.
func (a record) differsFrom(b record) string {
	for i := range max(len(a.events), len(b.events)) {
		if i >= len(a.events) || i >= len(b.events) {
			return fmt.Sprintf("%d events cut, %d whole", len(a.events), len(b.events))
		}
		if !bytes.Equal(a.events[i], b.events[i]) {
			return fmt.Sprintf("event %d:\ncut   %swhole %s", i, a.events[i], b.events[i])
		}
	}
	for side := range 2 {
		x, y := onSide(a.left, side), onSide(b.left, side)
		if !slices.EqualFunc(x, y, func(p, q left) bool { return p.at == q.at && bytes.Equal(p.data, q.data) }) {
			return fmt.Sprintf("on side %d %d segments left cut, %d whole, and they differ", side, len(x), len(y))
		}
	}
	if a.stats.Segments != b.stats.Segments || a.stats.Verdicts != b.stats.Verdicts {
		return fmt.Sprintf("counts: cut %+v, whole %+v", a.stats, b.stats)
	}
	if !reflect.DeepEqual(a.report, b.report) {
		return fmt.Sprintf("rules: cut %+v, whole %+v", a.report, b.report)
	}
	return ""
}

// leftover says what is kept still, when nothing is due any more.
func (a record) leftover() string {
	const recorded = 2048 // of one segment, in its Buf
	if a.stats.Waiting != 0 || a.stats.WaitBytes > recorded {
		return fmt.Sprintf("%d segments wait for ever, %d bytes are kept", a.stats.Waiting, a.stats.WaitBytes)
	}
	return ""
}

func onSide(all []left, side int) (some []left) {
	for _, l := range all {
		if l.side == side {
			some = append(some, l)
		}
	}
	return some
}
