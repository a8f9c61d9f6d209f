package engine_test

import (
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/remap"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
	"strings"
)

func TestR1Nil(t *testing.T) {
	w := newWorld(engine.BoxConfig{MaxConns: 1, Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
actions = [{ rewrite = { truncate = 0 } }, { delay = "1s" }]`)})
	w.send(handshake(0)...)
	w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 5})
	for p := range uint16(20) {
		w.send(handshake(41000 + p)...)
	}
	w.advance(2 * time.Second)
}

func TestR1Syn(t *testing.T) {
	for _, isn := range []uint32{0, 1 << 31, 1<<31 + 5} {
		w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { replace = { find = "ab", with = "12345" } }`)})
		b := wire.Build{Src: hosts[client], Dst: hosts[server], Seq: isn, Flags: wire.SYN, Window: 65535, Payload: []byte("xaby")}
		w.receive(client, tunnel.Header{}, b.Append(nil))
		if p := w.last(t); string(p.Payload()) != "x12345y" {
			t.Errorf("%d: %q", isn, p.Payload())
		}
	}
}

func TestR1Room(t *testing.T) {
	const finds = 1000
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { replace = { find = "ab", with = "c" } }`)})
	w.send(handshake(0)...)
	text := strings.Repeat("ab", finds)
	for i := range remap.Most / finds {
		w.sendText(1+uint32(i*2*finds), text)
	}
	w.left = nil
	w.sendText(1, text)
	if len(w.left) != 1 {
		t.Errorf("%d left", len(w.left))
	}
}

func TestR1Piece(t *testing.T) {
	done := make(chan bool)
	go func() {
		w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { split = 65440 }`)})
		w.send(handshake(0)...)
		w.left = nil
		w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 65480})
		t.Log(len(w.left))
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		panic("hangs")
	}
}
