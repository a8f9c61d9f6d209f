package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
)

// A rig is an Engine that runs between two devices whose kernel is the test.
type rig struct {
	*engine.Engine
	t       *testing.T
	devices [2]*tunneltest.Device
	stop    context.CancelFunc
	done    chan error
}

// run starts an Engine; it has to be called in a synctest bubble.
func run(t *testing.T, set *rules.Set) *rig {
	t.Helper()
	near, far := tunneltest.Pair(t)
	eng, err := engine.New(engine.Config{Devices: [2]tunnel.Device{near, far}, Rules: set})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &rig{eng, t, [2]*tunneltest.Device{near, far}, cancel, make(chan error, 1)}
	go func() { r.done <- eng.Run(ctx) }()
	return r
}

// end stops the Engine and wants Run to return nil.
func (r *rig) end() {
	r.t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("Run: %v", err)
	}
}

// send lets packets come in, and waits until the Engine has nothing more to do now.
func (r *rig) send(segments ...segment) {
	for _, s := range segments {
		data, h := s.packet()
		r.devices[s.from].Send(h, data)
		synctest.Wait()
	}
}

// received counts what has left at a side.
func (r *rig) received(side int) (n int) {
	for {
		if _, _, ok := r.devices[side].TryReceive(); !ok {
			return n
		}
		n++
	}
}

func TestEngineForwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, nil)
		r.send(handshake(0)...)
		if there, back := r.received(server), r.received(client); there != 2 || back != 1 {
			t.Errorf("%d packets arrived at the server and %d at the client, want 2 and 1", there, back)
		}
		if s := r.Stats(); s.Segments != 3 || s.Verdicts[engine.Pass] != 3 {
			t.Errorf("stats %+v", s)
		}
		r.end()
	})
}

// A delayed segment leaves when it is due, though nothing else wakes the worker.
func TestEngineDelaysExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { delay = "137501us" }`))
		r.send(handshake(0)...)
		r.received(server)
		start := time.Now()
		r.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10})
		if _, _, err := r.devices[server].Receive(time.Minute); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 137501*time.Microsecond {
			t.Errorf("it left after %v", took)
		}
		r.end()
	})
}

// Reload takes effect between two packets; unchanged rules keep their counts.
func TestEngineReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const kept = "[[rule]]\nname = \"kept\"\nmatch = { segment = \"data\" }\nnth = 2\naction = \"drop\"\n"
		r := run(t, mustParse(t, kept))
		r.send(handshake(0)...)
		r.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10})
		if err := r.Reload(mustParse(t, "[[rule]]\nname = \"new\"\nmatch = { segment = \"fin\" }\naction = \"drop\"\n"+kept)); err != nil {
			t.Fatal(err)
		}
		r.received(server)
		r.send(segment{from: client, flags: wire.ACK, seq: 11, ack: 1, size: 10})
		r.send(segment{from: client, flags: wire.ACK | wire.FIN, seq: 21, ack: 1})
		if n := r.received(server); n != 0 {
			t.Errorf("%d packets arrived, want the second data segment and the FIN dropped", n)
		}
		r.end()
		report := r.Report() // it works after Run, too
		if len(report) != 2 || report[0].Fired != 1 || report[1].Fired != 1 {
			t.Errorf("report %+v", report)
		}
	})
}

// What waits when Run ends is counted and does not leave. Afterwards calls say so.
func TestEngineStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, mustParse(t, holdAll))
		r.send(handshake(0)...)
		r.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10})
		r.received(server)
		r.end()
		called := false
		if err := r.Call(func(*engine.Box, time.Duration) { called = true }); !errors.Is(err, engine.ErrStopped) || called {
			t.Errorf("Call after the end: %v, called %t", err, called)
		}
		if err := r.Reload(nil); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("Reload after the end: %v", err)
		}
		if s := r.Stats(); s.Losses[engine.LossShutdown] != 1 || s.Waiting != 0 {
			t.Errorf("stats %+v", s)
		}
		if n := r.received(server); n != 0 {
			t.Errorf("%d packets left at the end", n)
		}
	})
}

// Before Run there is an Engine already that answers.
func TestEngineAnswersBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := tunneltest.Pair(t)
		eng, err := engine.New(engine.Config{Devices: [2]tunnel.Device{near, far}})
		if err != nil {
			t.Fatal(err)
		}
		if err := eng.Reload(mustParse(t, holdAll)); err != nil {
			t.Error(err)
		}
		all := func(*engine.ConnView) bool { return true }
		if conns, err := eng.Conns(all); err != nil || len(conns) != 0 {
			t.Errorf("connections %v, %v", conns, err)
		}
		if n, err := eng.Act(all, mustParse(t, cutIdle).Rules[0].Actions[0]); err != nil || n != 0 {
			t.Errorf("an action on %d connections, %v", n, err)
		}
		if r := eng.Report(); len(r) != 1 || eng.Stats().Segments != 0 || len(eng.Held()) != 0 {
			t.Errorf("report %+v", r)
		}
		ctx, cancel := context.WithCancel(t.Context())
		r := &rig{eng, t, [2]*tunneltest.Device{near, far}, cancel, make(chan error, 1)}
		go func() { r.done <- eng.Run(ctx) }()
		r.send(handshake(0)...)
		r.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10})
		if s := r.Stats(); s.Waiting != 1 {
			t.Errorf("%d segments wait, want the one that the new rule holds", s.Waiting)
		}
		r.end()
	})
}

// Calls from many goroutines are all served, in the worker's own time.
func TestEngineCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, nil)
		const calls = 100
		var served int // by the one worker
		results := make(chan error, calls)
		for range calls {
			go func() {
				results <- r.Call(func(*engine.Box, time.Duration) { served++ })
			}()
		}
		for range calls {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		r.end()
		if served != calls {
			t.Errorf("%d of %d calls were served", served, calls)
		}
	})
}

// A device that ends under the Engine ends Run, with the cause.
func TestEngineLosesDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, nil)
		synctest.Wait()
		r.devices[server].Close()
		if err := <-r.done; err == nil {
			t.Error("Run returned nil, want the cause")
		}
		r.stop()
	})
}

func TestNewRefusesMissingDevice(t *testing.T) {
	if _, err := engine.New(engine.Config{}); err == nil {
		t.Error("an Engine without devices was made")
	}
}
