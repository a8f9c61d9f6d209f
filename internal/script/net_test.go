package script

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A host is a network namespace of one test: only a loopback, which both
// scripts use. One thread stays inside and dies with the test, and with it the
// namespace.
type host struct {
	t     *testing.T
	calls chan func()
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, calls: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = loopback(true)
		}
		ready <- err
		for f := range h.calls {
			f()
		}
	}()
	t.Cleanup(func() { close(h.calls) })
	if err := <-ready; errors.Is(err, unix.EPERM) && os.Getenv("TCPMANGLE_REQUIRE_TUN") != "1" {
		t.Skip("no right to make a network namespace")
	} else if err != nil {
		t.Fatal(err)
	}
	return h
}

// enter runs f inside.
func (h *host) enter(f func() error) error {
	err := make(chan error)
	h.calls <- func() { err <- f() }
	return <-err
}

// loopback takes lo of the calling thread's namespace up or down.
func loopback(up bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if up {
		ifr.SetUint16(unix.IFF_UP)
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// cut takes the loopback down: from now on everything is lost.
func (h *host) cut() {
	h.t.Helper()
	if err := h.enter(func() error { return loopback(false) }); err != nil {
		h.t.Fatal(err)
	}
}

// A side is a runner, what it told, and how it ended.
type side struct {
	*Runner
	t      *testing.T
	name   string
	cancel context.CancelFunc
	end    chan error

	mu       sync.Mutex
	lines    []string
	failures []Failure
	sockets  [][2]netip.AddrPort
}

// start runs a script on the host; Kill ends it with the test.
func (h *host) start(name, text string) *side { return h.startServer(name, text, 1) }

func (h *host) startServer(name, text string, conns int) *side {
	h.t.Helper()
	s := h.side(name)
	script := parse(h.t, text)
	ctx, cancel := context.WithCancel(h.t.Context())
	s.cancel = cancel
	s.run(func() error { return s.RunServer(ctx, script, conns) })
	return s
}

// pair starts a server, and a client once that listens.
func (h *host) pair(serverText, clientText string) (server, client *side) {
	h.t.Helper()
	server = h.start("server", serverText)
	server.listens()
	return server, h.start("client", clientText)
}

// run is the script's run; the test does not end before it.
func (s *side) run(f func() error) {
	go func() {
		s.end <- f()
		close(s.end)
	}()
	s.t.Cleanup(func() {
		s.Kill()
		for range s.end {
		}
	})
}

func (h *host) side(name string) *side {
	s := &side{Runner: &Runner{}, t: h.t, name: name, end: make(chan error, 1)}
	s.Enter = h.enter
	s.Resolve = func(name string) (netip.Addr, error) {
		switch name {
		case "server":
			return netip.MustParseAddr("127.0.0.2"), nil
		case "client":
			return netip.MustParseAddr("127.0.0.1"), nil
		}
		return netip.Addr{}, errors.New("no host " + name)
	}
	s.Output = func(line string) { s.add(func() { s.lines = append(s.lines, line) }) }
	s.OnError = func(f Failure) { s.add(func() { s.failures = append(s.failures, f) }) }
	s.OnSocket = func(local, remote netip.AddrPort) {
		s.add(func() { s.sockets = append(s.sockets, [2]netip.AddrPort{local, remote}) })
	}
	return s
}

func (s *side) add(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func parse(t *testing.T, text string) *Script {
	t.Helper()
	s, errs := Parse(text)
	if errs != nil {
		t.Fatalf("%q: %v", text, errs)
	}
	return s
}

// patience is for a machine with much else to do.
const patience = 30 * time.Second

// wait is how the script ended.
func (s *side) wait() error {
	s.t.Helper()
	select {
	case err := <-s.end:
		return err
	case <-time.After(patience):
		s.t.Fatalf("%s does not end: %+v", s.name, s.Progress())
		return nil
	}
}

// ok demands that the script ends as written.
func (s *side) ok() {
	s.t.Helper()
	if err := s.wait(); err != nil {
		s.t.Fatalf("%s: %v\n%s", s.name, err, strings.Join(s.told(), "\n"))
	}
}

// fails demands that the script ends with this failure.
func (s *side) fails(want string) {
	s.t.Helper()
	if err := s.wait(); err == nil || err.Error() != want {
		s.t.Fatalf("%s: got %v, want %s", s.name, err, want)
	}
}

func (s *side) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// until waits for a condition.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// at waits until the script is in this phase of this command.
func (s *side) at(p Phase, command string) {
	s.t.Helper()
	until(s.t, fmt.Sprintf("%s %v in %s", s.name, p, command), func() bool {
		return slices.ContainsFunc(s.Progress(), func(st Status) bool { return st.Phase == p && st.Command == command })
	})
}

// states are those of the sockets still in the runner's hands, by TCP_INFO.
func (s *side) states() []string {
	s.Runner.mu.Lock()
	defer s.Runner.mu.Unlock()
	var all []string
	for _, c := range s.Runner.sockets {
		c.control(func(fd int) error {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err == nil {
				all = append(all, stateNames[info.State])
			}
			return err
		})
	}
	return all
}

var stateNames = map[uint8]string{
	unix.BPF_TCP_ESTABLISHED: "ESTABLISHED", unix.BPF_TCP_SYN_SENT: "SYN_SENT", unix.BPF_TCP_SYN_RECV: "SYN_RCVD",
	unix.BPF_TCP_FIN_WAIT1: "FIN_WAIT_1", unix.BPF_TCP_FIN_WAIT2: "FIN_WAIT_2", unix.BPF_TCP_TIME_WAIT: "TIME_WAIT",
	unix.BPF_TCP_CLOSE: "CLOSED", unix.BPF_TCP_CLOSE_WAIT: "CLOSE_WAIT", unix.BPF_TCP_LAST_ACK: "LAST_ACK",
	unix.BPF_TCP_LISTEN: "LISTEN", unix.BPF_TCP_CLOSING: "CLOSING",
}

// in waits until the runner's sockets are in these states.
func (s *side) in(want ...string) {
	s.t.Helper()
	until(s.t, fmt.Sprintf("%s in %v", s.name, want), func() bool { return slices.Equal(s.states(), want) })
}
