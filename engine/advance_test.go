package engine_test

import (
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// flagsLeft are the flags of what has left towards a side, in order.
func (w *world) flagsLeft(side int) (all []wire.Flags) {
	for _, l := range w.left {
		var p wire.Packet
		if l.side == side && p.Parse(l.data, 0, false) == wire.OK {
			all = append(all, p.Flags())
		}
	}
	return all
}

// Moments and segments that a Box lets out too late come in the order in which they were due.
func TestLateInOrder(t *testing.T) {
	for _, row := range []struct {
		delay       string
		first, last wire.Flags
	}{
		{"9s", wire.ACK, wire.RST | wire.ACK},
		{"11s", wire.RST | wire.ACK, wire.ACK},
	} {
		w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
at = { age = "10s" }
action = { reset = "server" }
[[rule]]
match = { segment = "data" }
action = { delay = "`+row.delay+`" }`)})
		w.send(handshake(0)...)
		w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10})
		w.left = nil
		w.Advance(time.Minute)
		if got := w.flagsLeft(server); len(got) != 2 || got[0] != row.first || got[1] != row.last {
			t.Errorf("a delay of %s and a moment at 10s: %v have left, want %v and %v", row.delay, got, row.first, row.last)
		}
	}
}

// However many moments are due at one instant, packets go between them: those that wait for a
// time, and those that come in. The moments of a packet's own connection come before it.
func TestManyMomentsLetPacketsThrough(t *testing.T) {
	const conns = 10_000
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
at = { age = "10s" }
action = { reset = "server" }
[[rule]]
match = { segment = "data" }
action = { delay = "10s" }`)})
	for i := range uint16(conns) {
		w.send(handshake(1024 + i)...)
	}
	last := segment{from: client, port: 1023 + conns, flags: wire.ACK, seq: 1, ack: 1}
	data := last
	data.size = 10
	w.send(data)
	w.left, w.now = nil, 10*time.Second
	w.send(last)
	got := w.flagsLeft(server)
	n := len(got)
	if n < 3 || n > 100 || got[0] != wire.ACK || got[n-2] != wire.RST|wire.ACK || got[n-1] != wire.ACK {
		t.Fatalf("%d segments have left with a packet that came in, want few: the delayed one, some RSTs, its connection's one, the packet", n)
	}
	w.advance(w.now)
	if n := w.rstsTo(server); n != conns {
		t.Errorf("%d RSTs in the end, want %d", n, conns)
	}
}

// What is due is never due before now: time would run backwards for who steps from one to the next.
func TestNextIsNotPast(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
at = { age = "10s" }
action = { reset = "server" }`)})
	w.send(handshake(0)...)
	w.advance(9 * time.Second)
	w.send(segment{from: client, flags: wire.RST | wire.ACK, seq: 1, ack: 1})
	w.advance(11 * time.Second)
	w.left = nil
	w.send(segment{from: server, flags: wire.ACK, seq: 1, ack: 1, size: 10}) // so it has not got the RST
	if at, ok := w.Next(); !ok || at != w.now {
		t.Errorf("the next is due at %v, want now: at %v", at, w.now)
	}
	w.advance(w.now)
	if n := w.rstsTo(server); n != 1 {
		t.Errorf("%d RSTs at an age that was reached while the connection seemed to have ended, want 1", n)
	}
}
