package engine_test

import (
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// What waits to be overtaken counts as waiting, is given up at the end, and each buffer
// comes back.
func TestReorderBounded(t *testing.T) {
	const limit = 96 << 10 // the packet in hand included
	w := newWorld(engine.BoxConfig{MaxWaitBytes: limit, Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { reorder = { behind = 1000, timeout = "1h" } }`)})
	w.send(handshake(0)...)
	for n := range uint32(20) {
		w.send(segment{from: client, flags: wire.ACK, seq: 1 + 10*n, ack: 1, size: 10})
	}
	s := w.Stats()
	if s.Waiting == 0 || s.Losses[engine.LossQueue] == 0 || uint64(s.Waiting)+s.Losses[engine.LossQueue] != 20 {
		t.Errorf("%d wait and %d were lost of 20", s.Waiting, s.Losses[engine.LossQueue])
	}
	w.Shutdown()
	if s := w.Stats(); s.Waiting != 0 || s.WaitBytes != 0 {
		t.Errorf("at the end %d wait in %d bytes", s.Waiting, s.WaitBytes)
	}
}

// A connection that is used again takes nothing along of what its place had before.
func TestReorderOutlivesConnection(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
match = { segment = "data", connection = 1 }
action = { reorder = { behind = 1, timeout = "10s" } }`)})
	w.send(handshake(0)...)
	w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10})
	w.send(segment{from: client, flags: wire.SYN, seq: 7_000_000})
	w.left = nil
	w.send(segment{from: server, flags: wire.SYN | wire.ACK, ack: 7_000_001})
	w.send(segment{from: client, flags: wire.ACK, seq: 7_000_001, ack: 1, size: 10})
	if len(w.left) != 2 {
		t.Errorf("%d left, want the two of the new incarnation", len(w.left))
	}
	w.advance(time.Minute)
	if s := w.Stats(); len(w.left) != 3 || s.Waiting != 0 || s.WaitBytes != 0 {
		t.Errorf("%d left in all, %d wait in %d bytes", len(w.left), s.Waiting, s.WaitBytes)
	}
}
