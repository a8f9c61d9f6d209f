package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// Several workers between two kernels:
//
//	 namespace A        queue 0 ══ worker 0 ══ queue 0        namespace B
//	10.77.1.1/32 ─ mgl0 queue 1 ══ worker 1 ══ queue 1 mgl0 ─ 10.77.2.1/32
//	fd77:1::1/128           …           …          …          fd77:2::1/128

var tunAddrs = [2][2]string{{"10.77.1.1/32", "fd77:1::1/128"}, {"10.77.2.1/32", "fd77:2::1/128"}}

// runEngine runs an Engine; stopped ends it and returns what Run has returned.
func runEngine(t *testing.T, eng *engine.Engine) (stopped func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- eng.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

// newTunHost makes a namespace with a device of so many queues, and the way to the other.
func newTunHost(t *testing.T, side, queues int) (*netns.NS, tunnel.Device) {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	var dev tunnel.Device
	if err := ns.Do(func() (err error) {
		dev, err = tunnel.Open(tunnel.Config{Queues: queues})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	for _, addr := range tunAddrs[side] {
		err = errors.Join(err, ns.AddAddr(dev.Name(), netip.MustParsePrefix(addr)))
	}
	err = errors.Join(err, ns.LinkUp(dev.Name()))
	for _, addr := range tunAddrs[1-side] {
		err = errors.Join(err, ns.AddRoute(netip.MustParsePrefix(addr), dev.Name()))
	}
	if err != nil {
		t.Fatal(err)
	}
	return ns, dev
}

// 500 connections, IPv4 and IPv6, through several workers, while the rules are
// loaded again and again: each is met by one worker only, and the counts are
// exact, with our steering and with the kernel's.
func TestWorkersOnTUN(t *testing.T) {
	nstest.NeedTUN(t)
	for _, workers := range []int{2, 4} {
		for _, steering := range []engine.Steering{engine.SteerProgram, engine.SteerKernel} {
			t.Run(fmt.Sprintf("%d workers, steering %v", workers, steering), func(t *testing.T) {
				if steering == engine.SteerKernel {
					engine.RefuseSteering(t)
				}
				workersOnTUN(t, workers, steering)
			})
		}
	}
}

const tunRules = `
[[rule]]
name = "every-tenth"
match = { from = "client", segment = "data", connection = "every 10" }
nth = 1
action = "drop"
[[rule]]
name = "total"
match = { from = "server", segment = "data" }
total = 100
action = { tag = "counted" }`

func workersOnTUN(t *testing.T, workers int, steering engine.Steering) {
	const conns = 500
	a, near := newTunHost(t, client, workers)
	b, far := newTunHost(t, server, workers)
	seen := newWitness()
	eng, err := engine.New(engine.Config{
		Devices: [2]tunnel.Device{near, far}, Workers: workers, BusyPoll: workers == 2,
		Rules: mustParse(t, tunRules), AllEvents: true, OnEvent: seen.hear,
	})
	if err != nil {
		t.Fatal(err)
	}
	if eng.Workers() != workers {
		t.Fatalf("%d workers, want %d", eng.Workers(), workers)
	}
	if eng.Steering() != steering {
		t.Skipf("steering %v: needs to load a BPF program", eng.Steering())
	}
	stopped := runEngine(t, eng)

	reloads := make(chan struct{})
	var reloading sync.WaitGroup
	reloading.Go(func() {
		for {
			select {
			case <-reloads:
				return
			case <-time.After(20 * time.Millisecond):
				if err := eng.Reload(mustParse(t, tunRules)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	echoEach(t, a, b, conns)
	close(reloads)
	reloading.Wait()

	awaitOver(t, eng, seen, conns)
	idle := 0
	if err := eng.Call(func(b *engine.Box, _ time.Duration) {
		if b.Stats().Segments == 0 {
			idle++
		}
	}); err != nil {
		t.Error(err)
	}
	if idle > 0 {
		t.Errorf("%d of %d workers have met no segment", idle, workers)
	}
	r := &rig{Engine: eng, t: t}
	r.wantFired("every-tenth", conns/10)
	r.wantFired("total", 100)
	if err := stopped(); err != nil {
		t.Error(err)
	}
	if lost, err := eng.RingDrops(); lost != 0 || err != nil {
		t.Errorf("the rings have lost %d packets: %v", lost, err)
	}
	if len(seen.dropped) != conns/10 {
		t.Errorf("%d connections have lost a segment, want %d", len(seen.dropped), conns/10)
	}
	seen.judge(t, conns)
}

// awaitOver waits for the last ACKs, which no program waits for. Who makes the workers
// stand still may look at what they have told.
func awaitOver(t *testing.T, eng *engine.Engine, seen *witness, conns int) {
	t.Helper()
	over := 0
	for end := time.Now().Add(patience); over < conns && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := eng.Call(func(*engine.Box, time.Duration) { over = seen.over() }); err != nil {
			t.Fatal(err)
		}
	}
}

// echoEach opens so many connections from a to b, some at a time, half of them of
// IPv6. Each sends, hears its echo, and is closed by the client and then by the server.
func echoEach(t *testing.T, a, b *netns.NS, conns int) {
	t.Helper()
	var servers [2]net.Listener
	for i := range servers {
		if err := b.Do(func() (err error) {
			servers[i], err = net.Listen("tcp", netip.AddrPortFrom(netip.MustParsePrefix(tunAddrs[server][i]).Addr(), 8080).String())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer servers[i].Close()
		go serveEchoes(servers[i])
	}
	const atOnce = 25
	var clients sync.WaitGroup
	for i := range atOnce {
		clients.Go(func() {
			for n := i; n < conns && !t.Failed(); n += atOnce {
				if err := echo(a, servers[n%2].Addr().String(), uint16(20000+n)); err != nil {
					t.Errorf("connection %d: %v", n, err)
				}
			}
		})
	}
	clients.Wait()
}

func serveEchoes(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}

// patience is for a machine with much else to do.
const patience = 30 * time.Second

// echo is one connection; its port is known by no other, in IPv4 and in IPv6.
func echo(ns *netns.NS, to string, port uint16) error {
	var c net.Conn
	if err := ns.Do(func() (err error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{Port: int(port)}, Timeout: patience}
		c, err = d.Dial("tcp", to)
		return err
	}); err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(make([]byte, 1000)); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, c)
	if err == nil && n != 1000 {
		err = fmt.Errorf("%d bytes came back, want 1000", n)
	}
	return err
}
