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
			all        bool
			own, heard int // connections that have been told of by then
		}{
			{nil, false, 1, 0},
			{heard.Record, false, 2, 1},
			{heard.Record, true, 3, 3},
			{nil, true, 4, 3},
		} {
			if err := r.Listen(step.tell, step.all); err != nil {
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
