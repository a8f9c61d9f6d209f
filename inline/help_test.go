package inline

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/rules"
)

func must(t *testing.T, err error) {
	t.Helper()
	nstest.Must(t, err)
}

// newHost is a namespace that the test takes down, with a state folder of its own.
func newHost(t *testing.T) *netns.NS {
	t.Helper()
	ownState(t)
	return nstest.New(t)
}

// ownState gives the test a state folder of its own, once.
func ownState(t *testing.T) {
	if old := stateDir; old == defaultState {
		stateDir = t.TempDir()
		t.Cleanup(func() { stateDir = old })
	}
}

// dial connects from a host, for no longer than a minute.
func dial(t *testing.T, host *netns.NS, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := nstest.Dial(host, to)
	must(t, err)
	return patiently(t, c)
}

// accept takes a connection, for no longer than a minute.
func accept(t *testing.T, l *net.TCPListener) *net.TCPConn {
	t.Helper()
	must(t, l.SetDeadline(time.Now().Add(time.Minute)))
	c, err := l.AcceptTCP()
	must(t, err)
	return patiently(t, c)
}

func patiently(t *testing.T, c *net.TCPConn) *net.TCPConn {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}

// run puts a box between the devices of a way, until the test ends.
func run(t *testing.T, w *Way, text string) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Config{Devices: w.Devices(), Rules: rules.MustParse(text), Seed: 1})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

// exchange sends text both ways and checks that it arrives.
func exchange(t *testing.T, a, b net.Conn, text string) {
	t.Helper()
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		if _, err := fmt.Fprint(way[0], text); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(way[1], got); err != nil || string(got) != text {
			t.Fatalf("%q arrived as %q: %v", text, got, err)
		}
	}
}
