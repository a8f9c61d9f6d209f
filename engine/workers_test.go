package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
)

// runWorkers is run with several workers, who share the packets by the fakes' own
// symmetric hash.
func runWorkers(t *testing.T, workers int, cfg engine.Config) *rig {
	t.Helper()
	near, far := tunneltest.Pair(t, tunneltest.WithQueues(workers))
	cfg.Devices, cfg.Workers = [2]tunnel.Device{near, far}, workers
	eng, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if eng.Workers() != workers {
		t.Fatalf("%d workers, want %d", eng.Workers(), workers)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &rig{eng, t, [2]*tunneltest.Device{near, far}, cancel, make(chan error, 1)}
	go func() { r.done <- eng.Run(ctx) }()
	return r
}

// A conversation is one connection of many, IPv4 or IPv6.
type conversation struct{ ends [2]netip.AddrPort }

func conversations(n int) (all []conversation) {
	for i := range n {
		c := conversation{hosts}
		if i%2 == 1 {
			c.ends = [2]netip.AddrPort{netip.MustParseAddrPort("[fd77:1::1]:1"), netip.MustParseAddrPort("[fd77:2::1]:8080")}
		}
		c.ends[client] = netip.AddrPortFrom(c.ends[client].Addr(), uint16(40000+i))
		all = append(all, c)
	}
	return all
}

// sendAll lets the packets of one step of all conversations come in, from several
// goroutines at once, and waits until the Engine has nothing more to do now.
func (r *rig) sendAll(all []conversation, s segment) {
	const senders = 4
	var done sync.WaitGroup
	for i := range senders {
		done.Go(func() {
			for at := i; at < len(all); at += senders {
				r.devices[s.from].Send(tunnel.Header{}, (&wire.Build{
					Src: all[at].ends[s.from], Dst: all[at].ends[1-s.from], Seq: s.seq, Ack: s.ack, Flags: s.flags,
					Window: 65535, Payload: make([]byte, s.size),
				}).Append(nil))
			}
		})
	}
	done.Wait()
	synctest.Wait()
}

// openAll opens all conversations.
func (r *rig) openAll(all []conversation) {
	for _, s := range handshake(0) {
		r.sendAll(all, s)
	}
}

var (
	clientData = segment{from: client, flags: wire.ACK | wire.PSH, seq: 1, ack: 1, size: 100}
	closing    = []segment{
		{from: client, flags: wire.ACK | wire.FIN, seq: 101, ack: 1},
		{from: server, flags: wire.ACK | wire.FIN, seq: 1, ack: 102},
		{from: client, flags: wire.ACK, seq: 102, ack: 2},
	}
)

const countingRules = `
[[rule]]
name = "every-tenth"
match = { segment = "data", connection = "every 10" }
action = "drop"
[[rule]]
name = "total"
match = { segment = "data" }
total = 123
action = { tag = "counted" }
[[rule]]
name = "all"
match = { segment = "fin" }
action = { tag = "closed" }`

// Several workers count as one: each connection is met by one of them, has an
// ordinal of its own, and what rules count is exact.
func TestWorkersCountTogether(t *testing.T) {
	for _, workers := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const conns = 500
				seen := newWitness()
				r := runWorkers(t, workers, engine.Config{Rules: mustParse(t, countingRules), OnEvent: seen.hear})
				all := conversations(conns)
				r.openAll(all)
				r.sendAll(all, clientData)
				for _, s := range closing {
					r.sendAll(all, s)
				}
				if n := r.received(server); n != conns*5-conns/10 {
					t.Errorf("%d packets arrived at the server, want %d", n, conns*5-conns/10)
				}
				r.wantFired("every-tenth", conns/10)
				r.wantFired("total", 123)
				r.wantFired("all", 2*conns)
				if s := r.Stats(); s.Segments != 7*conns || s.Verdicts[engine.Drop] != conns/10 {
					t.Errorf("stats %+v", s)
				}
				busy := 0
				r.Call(func(b *engine.Box, _ time.Duration) {
					if b.Stats().Segments > 0 {
						busy++
					}
				})
				if busy != workers {
					t.Errorf("%d of %d workers have met a segment", busy, workers)
				}
				r.end()
				seen.judge(t, conns)
				if n := seen.types[engine.EventReload]; n != 1 {
					t.Errorf("%d events tell of the rules, want 1", n)
				}
			})
		})
	}
}

func (r *rig) wantFired(name string, want uint64) {
	r.t.Helper()
	for _, rep := range r.Report() {
		if rep.Name == name && rep.Fired != want {
			r.t.Errorf("rule %q has fired %d times, want %d", name, rep.Fired, want)
		}
	}
}

// A witness hears events and notes what several workers could get wrong. It has no
// lock: the Engine lets one speak at a time, and the race detector watches.
type witness struct {
	types    map[engine.EventType]int
	ordinals map[uint64]netip.AddrPort // the client that has the ordinal
	opened   map[netip.AddrPort]int    // by client
	dropped  map[uint64]bool           // connections that lost a segment to a rule
	last     map[uint64]engine.Event   // of a connection
	wrong    []string
}

func newWitness() *witness {
	return &witness{
		types: map[engine.EventType]int{}, ordinals: map[uint64]netip.AddrPort{}, opened: map[netip.AddrPort]int{},
		dropped: map[uint64]bool{}, last: map[uint64]engine.Event{},
	}
}

func (w *witness) hear(e *engine.Event) {
	w.types[e.Type]++
	if e.Conn == 0 {
		return
	}
	if e.Type == engine.EventOpen {
		w.opened[e.Client]++
	}
	if e.Type == engine.EventSegment && e.Verdict == engine.Drop {
		w.dropped[e.Conn] = true
	}
	if who, known := w.ordinals[e.Conn]; known && who != e.Client {
		w.wrong = append(w.wrong, fmt.Sprintf("connection %d is of %v and of %v", e.Conn, who, e.Client))
	}
	w.ordinals[e.Conn] = e.Client
	if before := w.last[e.Conn].Time; e.Time < before {
		w.wrong = append(w.wrong, fmt.Sprintf("connection %d goes back in time from %v to %v", e.Conn, before, e.Time))
	}
	w.last[e.Conn] = *e
}

// over tells how many connections have been told of to their end: the client, who
// closes first, waits, unless a RST that answers a late ACK has ended that too.
func (w *witness) over() (n int) {
	for _, e := range w.last {
		if e.ServerState == conntrack.Closed && (e.ClientState == conntrack.TimeWait || e.ClientState == conntrack.Closed) {
			n++
		}
	}
	return n
}

// judge wants so many connections, each opened once, with the ordinals from 1.
func (w *witness) judge(t *testing.T, conns int) {
	t.Helper()
	for _, s := range w.wrong {
		t.Error(s)
	}
	if len(w.opened) != conns || w.types[engine.EventOpen] != conns || w.over() != conns {
		t.Errorf("%d clients, %d connections have begun and %d ended, want %d of each",
			len(w.opened), w.types[engine.EventOpen], w.over(), conns)
	}
	for n := range conns {
		if _, ok := w.ordinals[uint64(n+1)]; !ok {
			t.Fatalf("no connection has the ordinal %d", n+1)
		}
	}
	if len(w.ordinals) != conns {
		t.Errorf("%d ordinals for %d connections", len(w.ordinals), conns)
	}
}

// Other rules are in force for all workers at once, and count what was there
// before in the order of its SYNs, whoever has it.
func TestWorkersReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const conns = 200
		seen := newWitness()
		r := runWorkers(t, 4, engine.Config{Rules: mustParse(t, countingRules), OnEvent: seen.hear})
		all := conversations(conns)
		r.openAll(all)
		r.sendAll(all[:100], clientData)
		const early = "[[rule]]\nname = \"early\"\nmatch = { segment = \"data\", connection = \"1-50\" }\naction = \"drop\"\n"
		if err := r.Reload(mustParse(t, early+countingRules)); err != nil {
			t.Fatal(err)
		}
		seen.dropped = map[uint64]bool{}
		again := clientData
		again.seq += uint32(again.size)
		r.sendAll(all, again)
		r.wantFired("early", 50)
		r.wantFired("total", 123)
		for n := range uint64(50) {
			if !seen.dropped[n+1] {
				t.Errorf("connection %d has lost nothing to the new rule", n+1)
			}
		}
		if n := seen.types[engine.EventReload]; n != 2 {
			t.Errorf("%d events tell of the rules, want 2", n)
		}
		if err := r.Reload(nil); err != nil || len(r.Report()) != 0 {
			t.Errorf("no rules: %v, %v", err, r.Report())
		}
		r.end()
	})
}

// Rules change and are asked about while packets come in from all sides. No
// packet is lost, and a rule that stays counts on.
func TestWorkersReloadUnderTraffic(t *testing.T) {
	const conns, rounds = 100, 20
	r := runWorkers(t, 4, engine.Config{Rules: mustParse(t, countingRules), OnEvent: newWitness().hear, BusyPoll: true})
	all := conversations(conns)
	var traffic sync.WaitGroup
	for _, part := range [][]conversation{all[:50], all[50:]} {
		traffic.Go(func() {
			for n := range uint32(rounds) {
				s := segment{from: client, flags: wire.ACK, seq: 1 + 10*n, ack: 1, size: 10}
				for _, c := range part {
					r.devices[client].Send(tunnel.Header{}, (&wire.Build{
						Src: c.ends[client], Dst: c.ends[server], Seq: s.seq, Ack: s.ack, Flags: s.flags, Payload: make([]byte, s.size),
					}).Append(nil))
				}
			}
		})
	}
	for i := range 20 {
		if err := r.Reload(mustParse(t, candidates(i)+countingRules)); err != nil {
			t.Error(err)
		}
		r.Stats()
		r.Report()
	}
	traffic.Wait()
	for end := time.Now().Add(patience); r.Stats().Segments < conns*rounds && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	r.wantFired("every-tenth", conns/10*rounds)
	r.wantFired("total", 123)
	if n := r.received(server); n != conns*rounds*9/10 {
		t.Errorf("%d packets arrived, want %d", n, conns*rounds*9/10)
	}
	r.end()
}

// Call finds all workers at one point: none has met the packets that come later.
func TestWorkersStandStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const conns = 40
		r := runWorkers(t, 4, engine.Config{})
		all := conversations(conns)
		r.openAll(all)
		times := map[time.Duration]int{}
		err := r.Call(func(b *engine.Box, now time.Duration) {
			times[now]++
			before := b.Stats().Segments
			for _, c := range all {
				r.devices[client].Send(tunnel.Header{}, (&wire.Build{Src: c.ends[client], Dst: c.ends[server], Flags: wire.ACK}).Append(nil))
			}
			if n := b.Stats().Segments; n != before {
				t.Errorf("a worker has met %d segments while it stood still", n-before)
			}
		})
		if err != nil || len(times) != 1 {
			t.Errorf("Call: %v, at %v, want one time", err, times)
		}
		synctest.Wait()
		if s := r.Stats(); s.Segments != 3*conns+4*conns {
			t.Errorf("%d segments, want %d", s.Segments, 7*conns)
		}
		r.Call(func(b *engine.Box, _ time.Duration) { b.Mute(client, true) })
		r.sendAll(all, clientData)
		if s := r.Stats(); s.Losses[engine.LossMuted] != conns {
			t.Errorf("%d packets were lost to silence, want %d", s.Losses[engine.LossMuted], conns)
		}
		r.end()
	})
}

// A release action lets go what the rule holds with any worker, by name and by tag.
func TestWorkersRelease(t *testing.T) {
	for name, release := range map[string]string{"rule": `{ release = "keep" }`, "tag": `{ release = { tag = "kept" } }`} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runWorkers(t, 4, engine.Config{Rules: mustParse(t, `
[[rule]]
name = "go"
match = { segment = "data", length = 7 }
actions = [`+release+`, "pass"]
[[rule]]
name = "keep"
match = { segment = "data" }
actions = [{ tag = "kept" }, { hold = "release" }]`)})
				const conns = 40
				all := conversations(conns)
				r.openAll(all)
				r.sendAll(all[1:], clientData)
				r.received(server)
				if s := r.Stats(); s.Waiting != conns-1 {
					t.Fatalf("%d segments wait, want %d", s.Waiting, conns-1)
				}
				last := clientData
				last.size = 7
				r.sendAll(all[:1], last)
				if n := r.received(server); n != conns {
					t.Errorf("%d packets arrived, want %d", n, conns)
				}
				if s := r.Stats(); s.Waiting != 0 {
					t.Errorf("%d segments wait still", s.Waiting)
				}
				r.end()
			})
		})
	}
}

// What a rule has in common for all connections, it has for those of all workers.
func TestWorkersShareRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runWorkers(t, 4, engine.Config{Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { rate = { limit = "1MB/s", burst = 0, queue = "1MiB", shared = true } }`)})
		all := conversations(100)
		r.openAll(all)
		r.received(server)
		start := time.Now()
		r.sendAll(all, clientData)
		for range all {
			if _, _, err := r.devices[server].Receive(time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		// 50 segments of 140 bytes and 50 of 160 take 15 ms, the last one's time not counted.
		if took := time.Since(start); took < 14840*time.Microsecond || took > 14860*time.Microsecond {
			t.Errorf("100 segments have left within %v, want 14.85ms", took)
		}
		r.end()
	})
}

// What waits with any worker at the end is counted, and a device's end ends all.
func TestWorkersStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runWorkers(t, 4, engine.Config{Rules: mustParse(t, holdAll)})
		all := conversations(40)
		r.openAll(all)
		r.sendAll(all, clientData)
		r.devices[server].Close()
		if err := <-r.done; err == nil {
			t.Error("Run returned nil, want the cause")
		}
		if err := r.Call(nil); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("Call after the end: %v", err)
		}
		if s := r.Stats(); s.Losses[engine.LossShutdown] != 40 || s.Waiting != 0 {
			t.Errorf("stats %+v", s)
		}
		if rep := r.Report(); len(rep) != 1 || rep[0].Fired != 40 {
			t.Errorf("report %+v", rep)
		}
	})
}

// Without queues for all there is one worker, which says so and reads all queues.
func TestWorkersTooFewQueues(t *testing.T) {
	for _, queues := range [][2]int{{1, 1}, {2, 2}, {4, 2}, {2, 4}, {3, 5}} {
		t.Run(fmt.Sprint(queues), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zapcore.WarnLevel)
				var devices [2]*tunneltest.Device
				for i := range devices {
					devices[i] = tunneltest.New(t, tunneltest.WithQueues(queues[i]))
				}
				eng, err := engine.New(engine.Config{
					Devices: [2]tunnel.Device{devices[0], devices[1]}, Workers: 4, Log: zap.New(core),
				})
				if err != nil {
					t.Fatal(err)
				}
				if eng.Workers() != 1 || eng.Steering() != engine.SteerNone || logs.Len() != 1 ||
					!strings.Contains(logs.All()[0].Message, "one worker") {
					t.Errorf("%d workers, steering %v, %v", eng.Workers(), eng.Steering(), logs.All())
				}
				ctx, cancel := context.WithCancel(t.Context())
				r := &rig{eng, t, devices, cancel, make(chan error, 1)}
				go func() { r.done <- eng.Run(ctx) }()
				all := conversations(50)
				r.openAll(all)
				if s := r.Stats(); s.Segments != 150 || devices[0].Pending()+devices[1].Pending() != 0 {
					t.Errorf("%d segments were met, want 150", s.Segments)
				}
				r.end()
			})
		})
	}
}

// More queues than workers are shared out: each worker reads the same of both devices.
func TestWorkersSpareQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := tunneltest.Pair(t, tunneltest.WithQueues(5))
		seen := newWitness()
		eng, err := engine.New(engine.Config{Devices: [2]tunnel.Device{near, far}, Workers: 2, AllEvents: true, OnEvent: seen.hear})
		if err != nil {
			t.Fatal(err)
		}
		if eng.Workers() != 2 || eng.Steering() != engine.SteerKernel {
			t.Errorf("%d workers, steering %v", eng.Workers(), eng.Steering())
		}
		ctx, cancel := context.WithCancel(t.Context())
		r := &rig{eng, t, [2]*tunneltest.Device{near, far}, cancel, make(chan error, 1)}
		go func() { r.done <- eng.Run(ctx) }()
		all := conversations(60)
		r.openAll(all)
		r.sendAll(all, clientData)
		for _, s := range closing {
			r.sendAll(all, s)
		}
		r.end()
		seen.judge(t, 60)
	})
}

// The near misses of all workers explain together why a rule has never fired.
func TestWorkersReportNearMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runWorkers(t, 4, engine.Config{Rules: mustParse(t, `
[[rule]]
name = "never"
match = { segment = "data", length = 9 }
action = "drop"`)})
		all := conversations(40)
		r.openAll(all)
		r.sendAll(all, clientData)
		rep := r.Report()[0]
		if want := "closest: 40 segments got as far as length = 9, the last one had 100"; rep.WhyNot != want {
			t.Errorf("why not: %q, want %q", rep.WhyNot, want)
		}
		r.end()
	})
}
