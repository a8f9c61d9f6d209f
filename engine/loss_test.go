package engine_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
)

// refusal is an Output that takes nothing.
type refusal struct{}

func (refusal) Write(*engine.Emission) error { return errors.New("no") }

// A super-packet that is lost counts as many as the segments in it.
func TestLossesCountSegments(t *testing.T) {
	super := segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 450, gso: 100}
	for _, row := range []struct {
		name, rules string
		loss        engine.Loss
		mute        bool
	}{
		{"a device refuses what passes", "", engine.LossWrite, false},
		{"and what is edited", zeroed, engine.LossWrite, false},
		{"its host has no power", "", engine.LossMuted, true},
	} {
		b := engine.NewBox(engine.BoxConfig{Rules: mustParse(t, row.rules), Output: refusal{}, Offload: [2]bool{true, true}}, 0)
		b.Mute(client, row.mute)
		data, h := super.packet()
		buf := b.Buf()
		buf.Header = h
		buf.SetLen(copy(buf.Space(), data))
		b.Receive(0, client, buf)
		if got := b.Stats().Losses[row.loss]; got != 5 {
			t.Errorf("%s: %d segments were lost, want 5", row.name, got)
		}
	}
}

// What is to be forged later for a connection that has gone by then is counted.
func TestForgedForNobody(t *testing.T) {
	w := newWorld(engine.BoxConfig{MaxConns: 1, Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { inject = { to = "server", after = "1s" } }`)})
	w.send(handshake(0)...)
	w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 5})
	w.send(handshake(40001)...)
	w.advance(2 * time.Second)
	if got := w.Stats().Losses[engine.LossGone]; got != 1 {
		t.Errorf("%d segments were lost, want the one", got)
	}
}

// Of a hold that has ended nothing stays behind, however long its timeout is.
func TestEndedHoldsLeaveNoTimeout(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
every = 2
action = { hold = { until = "next", timeout = "1h" } }`)})
	w.send(handshake(0)...)
	for i := range uint32(100) {
		w.send(segment{from: client, flags: wire.ACK, seq: 1 + 10*i, ack: 1, size: 10})
	}
	if at, ok := w.NextEmission(); !ok || w.Stats().Waiting != 1 {
		t.Errorf("%d segments wait, due at %v, %v; want the last one", w.Stats().Waiting, at, ok)
	}
	w.send(segment{from: client, flags: wire.ACK, seq: 1001, ack: 1, size: 10})
	if at, ok := w.NextEmission(); ok || w.Stats().Waiting != 0 {
		t.Errorf("%d segments wait, and something is due at %v", w.Stats().Waiting, at)
	}
}

// A connection is told with all its rules, those that act at moments too, in file order.
func TestConnsNameTheirRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := tunneltest.Pair(t)
		eng, err := engine.New(engine.Config{Devices: [2]tunnel.Device{near, far}, Rules: mustParse(t, `
[[rule]]
name = "silent"
at = { idle = "1h" }
action = "reset"
[[rule]]
name = "data"
match = { segment = "data" }
action = "drop"
[[rule]]
name = "elsewhere"
match = { port = 9 }
action = "drop"
[[rule]]
name = "old"
at = { age = "1h" }
action = "reset"`)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		r := &rig{eng, t, [2]*tunneltest.Device{near, far}, cancel, make(chan error, 1)}
		go func() { r.done <- eng.Run(ctx) }()
		r.send(handshake(0)...)
		conns, err := r.Conns(func(*engine.ConnView) bool { return true })
		if err != nil || len(conns) != 1 || !slices.Equal(conns[0].Rules, []string{"silent", "data", "old"}) {
			t.Errorf("%+v, %v", conns, err)
		}
		r.end()
	})
}
