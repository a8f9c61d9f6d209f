package engine_test

import (
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A worker may read a packet before it has let out what became due meanwhile:
// what was due goes first all the same.
func TestDueBeforeReceived(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
match = { length = "100" }
action = { delay = "10ms" }`)})
	w.send(handshake(0)...)
	w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 100})
	w.left = nil
	w.now = 15 * time.Millisecond // and no Advance
	w.send(segment{from: client, flags: wire.ACK, seq: 101, ack: 1, size: 50})
	if len(w.left) != 2 || len(w.left[0].data) != 140 || len(w.left[1].data) != 90 {
		t.Fatalf("%d packets left, want the delayed one and then the other: %v", len(w.left), w.left)
	}
}

const holdAll = `
[[rule]]
name = "keep"
match = { segment = "data" }
action = { hold = "release" }`

// What waits is bounded: beyond it segments are lost, which is counted and told.
func TestOverflow(t *testing.T) {
	const limit = 1 << 20
	var overflows, queued int
	w := newWorld(engine.BoxConfig{
		Rules: mustParse(t, holdAll), MaxWaitBytes: limit,
		OnEvent: func(e *engine.Event) {
			if e.Type == engine.EventOverflow {
				overflows++
			}
			if e.Type == engine.EventSegment && e.Reason == "queue" {
				queued++
			}
		},
	})
	w.send(handshake(0)...)
	const sent = 2000
	for i := range sent {
		w.send(segment{from: client, flags: wire.ACK, seq: 1 + uint32(i)*10, ack: 1, size: 10})
	}
	s := w.Stats()
	lost := int(s.Losses[engine.LossQueue])
	if lost == 0 || lost+s.Waiting != sent {
		t.Errorf("%d lost and %d waiting of %d", lost, s.Waiting, sent)
	}
	if overflows != lost || queued != lost {
		t.Errorf("%d lost, but %d overflow events and %d segments with the reason queue", lost, overflows, queued)
	}
	if s.WaitBytes > limit+1<<17 {
		t.Errorf("%d bytes wait, the limit is %d", s.WaitBytes, limit)
	}
	w.Release(w.now, "keep")
	if s := w.Stats(); s.Waiting != 0 || s.WaitBytes != 0 {
		t.Errorf("after the release %d wait in %d bytes", s.Waiting, s.WaitBytes)
	}
}

// At the end everything that waits is given up and counted, each buffer returned.
func TestShutdown(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, holdAll+`
[[rule]]
match = { segment = "ack", from = "server" }
action = { delay = "1s" }
[[rule]]
match = { segment = "fin" }
actions = [{ reset = "client" }, { blackhole = { for = "5s", heal = "reset" } }]`)})
	w.send(handshake(0)...)
	w.send(
		segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10},
		segment{from: client, flags: wire.ACK, seq: 11, ack: 1, size: 10},
		segment{from: server, flags: wire.ACK, seq: 1, ack: 1},
		segment{from: client, flags: wire.ACK | wire.FIN, seq: 21, ack: 1},
	)
	before := w.Stats().Waiting
	sent := len(w.left)
	w.Shutdown()
	s := w.Stats()
	if before != 5 || s.Losses[engine.LossShutdown] != 5 || s.Waiting != 0 || s.WaitBytes != 0 {
		t.Errorf("%d waited; %d were given up, %d wait in %d bytes", before, s.Losses[engine.LossShutdown], s.Waiting, s.WaitBytes)
	}
	w.advance(time.Minute)
	if len(w.left) != sent {
		t.Errorf("%d packets left after the end", len(w.left)-sent)
	}
}

// Other rules take over between two packets; a rule that is the same keeps its
// counts, its clock and the connections that it has counted.
func TestReload(t *testing.T) {
	const kept = `
[[rule]]
name = "second"
match = { segment = "data", connection = 2 }
nth = 3
action = "drop"`
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, kept+`
[[rule]]
name = "gone"
match = { segment = "fin" }
action = "drop"`)})
	const port = 40001
	w.send(handshake(0)...)
	w.send(handshake(port)...)
	data := func(n uint32) segment {
		return segment{from: client, port: port, flags: wire.ACK, seq: 1 + 10*n, ack: 1, size: 10}
	}
	w.send(data(0), data(1))
	w.SetRules(w.now, mustParse(t, `
[[rule]]
name = "new"
match = { segment = "data", length = "5" }
action = "drop"`+kept))
	w.left = nil
	w.send(data(2), data(3))
	if len(w.left) != 1 {
		t.Errorf("%d of two segments left, want the third data segment dropped", len(w.left))
	}
	report := w.Report()
	if len(report) != 2 || report[0].Name != "new" || report[0].Fired != 0 || report[1].Fired != 1 {
		t.Errorf("report %+v", report)
	}
}

// Connections keep their ordinals over a reload, also when earlier ones are forgotten.
func TestReloadOrdinals(t *testing.T) {
	set := `
[[rule]]
name = "third"
match = { segment = "data", connection = 3 }
action = "drop"`
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, set)})
	w.send(handshake(40001)...)
	w.send(segment{from: client, port: 40001, flags: wire.RST | wire.ACK, seq: 1, ack: 1})
	w.send(handshake(40002)...)
	w.advance(time.Hour) // the first is forgotten
	w.SetRules(w.now, mustParse(t, set))
	w.send(handshake(40003)...)
	w.left = nil
	w.send(segment{from: client, port: 40002, flags: wire.ACK, seq: 1, ack: 1, size: 10})
	w.send(segment{from: client, port: 40003, flags: wire.ACK, seq: 1, ack: 1, size: 10})
	if len(w.left) != 1 || w.Report()[0].Fired != 1 {
		t.Fatalf("%d of two segments left; %+v", len(w.left), w.Report())
	}
	var p wire.Packet
	if p.Parse(w.left[0].data, 0, false); p.SrcPort() != 40002 {
		t.Errorf("the third connection's segment left, the second's was dropped")
	}
}

// What an unchanged rule holds is still its own after a reload: a retransmission
// is swallowed, and a release finds it.
func TestReloadKeepsHeld(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, holdAll)})
	w.send(handshake(0)...)
	data := segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10}
	w.send(data)
	w.SetRules(w.now, mustParse(t, candidates(1)+holdAll))
	w.left = nil
	w.send(data)
	if s := w.Stats(); s.Waiting != 1 || s.Swallowed != 1 {
		t.Errorf("%d wait and %d were swallowed, want one each", s.Waiting, s.Swallowed)
	}
	w.Release(w.now, "keep")
	if report := w.Report(); len(w.left) != 1 || report[1].Fired != 1 {
		t.Errorf("%d left; %+v", len(w.left), report)
	}
}
