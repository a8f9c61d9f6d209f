package engine_test

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

const spreadDelay = `
[[rule]]
match = { segment = "data" }
action = { delay = { by = "120ms", jitter = "100ms", keep_order = false } }`

const delayed = 10000

// Delayed segments are counted by how late they leave.
func TestLatenessOfBox(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { delay = "10ms" }`)})
	w.send(handshake(0)...)
	for i := range uint32(3) {
		w.send(segment{from: client, flags: wire.ACK, seq: 1 + 10*i, ack: 1, size: 10})
	}
	w.now = 10*time.Millisecond + 40*time.Microsecond
	w.Advance(w.now)
	w.Advance(time.Hour) // what comes now are timers of the connection, which do not count
	s := w.Stats()
	if s.Lateness.Count() != 3 || s.Lateness.Quantile(0.5) != 64*time.Microsecond {
		t.Errorf("lateness %v", s.Lateness)
	}
}

// In virtual time 10,000 segments that wait leave each at its own moment.
func TestManyDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, mustParse(t, spreadDelay))
		r.sendDelayed()
		if s := r.Stats(); s.Waiting != delayed {
			t.Fatalf("%d segments wait, want %d", s.Waiting, delayed)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		s := r.Stats()
		if n := r.received(server); n != delayed || s.Lateness.Count() != delayed || s.Lateness[0] != delayed {
			t.Errorf("%d segments have left; lateness %v", n, s.Lateness)
		}
		r.end()
	})
}

// On a real clock, and a device of the kernel, they are late by something. What is
// asserted here is only that it is counted and not beyond all measure; the figure
// is the benchmark's.
func TestManyDelayedOnTUN(t *testing.T) {
	nstest.NeedTUN(t)
	a, near := newTunHost(t, client, 1)
	_, far := newTunHost(t, server, 1)
	eng, err := engine.New(engine.Config{Devices: [2]tunnel.Device{near, far}, Rules: mustParse(t, spreadDelay)})
	if err != nil {
		t.Fatal(err)
	}
	stopped := runEngine(t, eng)
	var raw int
	if err := a.Do(func() (err error) {
		raw, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.IPPROTO_RAW)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(raw)
	to := &syscall.SockaddrInet4{Addr: hosts[server].Addr().As4()}
	for i := range uint32(delayed) {
		data, _ := segment{from: client, flags: wire.ACK, seq: 1 + 10*i, ack: 1, size: 10}.packet()
		if err := syscall.Sendto(raw, data, 0, to); err != nil {
			t.Fatal(err)
		}
	}
	var late engine.Lateness
	for end := time.Now().Add(patience); late.Count() < delayed && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		late = eng.Stats().Lateness
	}
	if err := stopped(); err != nil {
		t.Error(err)
	}
	if late.Count() != delayed || late.Quantile(0.99) > 5*time.Second {
		t.Errorf("lateness %v", late)
	}
	t.Logf("%d segments were late by at most %v (p50) and %v (p99)", delayed, late.Quantile(0.5), late.Quantile(0.99))
}

// sendDelayed opens a connection, whose packets it takes off, and sends data.
func (r *rig) sendDelayed() {
	for _, s := range handshake(0) {
		data, h := s.packet()
		r.devices[s.from].Send(h, data)
		r.devices[1-s.from].Receive(time.Minute)
	}
	for i := range uint32(delayed) {
		data, h := segment{from: client, flags: wire.ACK, seq: 1 + 10*i, ack: 1, size: 10}.packet()
		r.devices[client].Send(h, data)
	}
	for r.devices[client].Pending() > 0 {
		time.Sleep(time.Millisecond)
	}
}

// A spin ends when something is due, or somebody calls, or the Engine stops.
func TestBusyPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runWorkers(t, 1, engine.Config{BusyPoll: true, Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { delay = "137501us" }`)})
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
		if s := r.Stats(); s.Segments != 4 {
			t.Errorf("stats %+v", s)
		}
		r.end()
	})
}

// Noting lateness and sharing totals add no allocation to a segment.
func TestNoAllocationsShared(t *testing.T) {
	var out discard
	box := engine.NewBox(engine.BoxConfig{Rules: mustParse(t, candidates(3)+`
[[rule]]
match = { segment = "data" }
total = 1000000
action = { delay = "1ms" }`), Output: &out, Totals: new(engine.Totals)}, 0)
	s := &stream{box: box}
	for _, open := range handshake(0) {
		data, h := open.packet()
		s.receive(open.from, h, data)
	}
	s.data, s.header = segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 100}.packet()
	s.packet.Parse(s.data, 0, false)
	now := time.Duration(0)
	if n := testing.AllocsPerRun(200, func() {
		buf := box.Buf()
		buf.SetLen(copy(buf.Space(), s.data))
		box.Receive(now, client, buf)
		now += 2 * time.Millisecond
		box.Advance(now)
		s.packet.SetSeq(s.packet.Seq() + 100)
	}); n != 0 {
		t.Errorf("%v allocations for a delayed segment", n)
	}
	stats := box.Stats()
	if stats.Lateness.Count() != 201 {
		t.Errorf("lateness %v", stats.Lateness)
	}
}
