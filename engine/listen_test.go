package engine_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
)

// opened is how many connections were told of.
func opened(r *engine.Recorder) (n int) {
	for _, e := range r.Events() {
		if e.Type == engine.EventOpen {
			n++
		}
	}
	return n
}

// A listener hears what it has asked for, and who was told before no more than it was.
func TestListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := tunneltest.Pair(t)
		var own, heard engine.Recorder
		eng, err := engine.New(engine.Config{
			Devices: [2]tunnel.Device{near, far}, OnEvent: own.Record,
			Rules: mustParse(t, "[[rule]]\nmatch = { client = \"10.77.1.1:41000-41999\" }\naction = { tag = \"x\" }"),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		r := &rig{eng, t, [2]*tunneltest.Device{near, far}, cancel, make(chan error, 1)}
		go func() { r.done <- eng.Run(ctx) }()
		for i, step := range []struct {
			tell       func(*engine.Event)
			scope      engine.Scope
			own, heard int // connections that have been told of by then
		}{
			{nil, engine.Nothing, 1, 0},
			{heard.Record, engine.Lives, 2, 2},
			{heard.Record, engine.Selected, 3, 4},
			{heard.Record, engine.Everything, 4, 6},
			{nil, engine.Nothing, 5, 6},
			{nil, engine.Lives, 6, 6},
		} {
			if err := r.Listen(step.tell, step.scope); err != nil {
				t.Fatal(err)
			}
			r.send(handshake(uint16(41000 + i))...) // that the rule can concern
			r.send(handshake(uint16(42000 + i))...)
			if opened(&own) != step.own || opened(&heard) != step.heard {
				t.Errorf("%d and %d connections were told of, want %d and %d", opened(&own), opened(&heard), step.own, step.heard)
			}
		}
		r.end()
	})
}

// Who wants to hear of lives is told what rules do and which states connections are in, but of
// no segment: those that no rule can concern are forwarded as they come.
func TestListenToLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := tunneltest.Pair(t)
		eng, err := engine.New(engine.Config{
			Devices: [2]tunnel.Device{near, far},
			Rules:   mustParse(t, "[[rule]]\nmatch = { client = \"10.77.1.1:41000\", segment = \"syn\" }\naction = { tag = \"x\" }"),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		r := &rig{eng, t, [2]*tunneltest.Device{near, far}, cancel, make(chan error, 1)}
		go func() { r.done <- eng.Run(ctx) }()
		var heard engine.Recorder
		if err := r.Listen(heard.Record, engine.Lives); err != nil {
			t.Fatal(err)
		}
		r.send(handshake(41000)...)
		r.send(handshake(42000)...)
		n := map[engine.EventType]int{}
		for _, e := range heard.Events() {
			n[e.Type]++
		}
		if n[engine.EventOpen] != 2 || n[engine.EventState] == 0 || n[engine.EventRule] != 1 || n[engine.EventSegment] != 0 {
			t.Errorf("heard of %v", n)
		}
		if whole := eng.Stats().Whole; whole != 3 {
			t.Errorf("%d packets were forwarded as they came, want those of the second handshake", whole)
		}
		r.end()
	})
}
