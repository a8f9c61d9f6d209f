package main

import (
	"bufio"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// How often each mode is killed, and after how many times it may end in order.
const kills, inOrder = 50, 10

// A mode is a way to start tcpmangle.
type mode struct {
	args    []string
	up      string         // how the line begins that tells that it stands
	through netip.AddrPort // an address of its own that leads to the echo, if it has one
	inWay   bool           // of what comes to the host
	leaves  []string       // what it leaves behind when it is killed, besides sysctls
}

// Killed at any moment, while it starts, stands and stops, tcpmangle leaves a host on which traffic
// flows, on connections that were open and on new ones: a stream whose way through the box comes and
// goes has every byte arrive. Its devices, tables and processes go with it, and all the rest with the
// next start.
func TestKilledAtAnyMoment(t *testing.T) {
	needRoot(t)
	rules := written(t, "hole.toml", holeRules)
	for name, m := range map[string]mode{
		"exec": {args: []string{"exec", "-f", rules, "--linger", "0s", "--", "sh", "-c", "echo up; exec sleep 600"}, up: "up"},
		"proxy": {
			args: []string{"run", "--api", "off", "--proxy", "0.0.0.0:17000=127.0.0.1:7000"}, up: "tcpmangle: inline ",
			through: netip.MustParseAddrPort("127.0.0.1:17000"),
		},
		"attach": {
			args: []string{"run", "--api", "off", "-f", rules}, up: "tcpmangle: inline ", inWay: true,
			leaves: []string{"rule ", "route 10 fd79::/128 "}, // the latter is the kernel's, while it forwards IPv6
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHaunt(t, m)
			if m.inWay {
				defer h.streams(t)()
			}
			var starting, stopping time.Duration
			for n := range kills {
				if n%inOrder == 0 {
					starting, stopping = h.lives(t)
				}
				l := h.start(t)
				switch n % 3 {
				case 0:
					time.Sleep(rand.N(starting))
				case 1:
					l.stands(t)
					h.passes(t)
				case 2:
					l.stands(t)
					l.stop(t)
					time.Sleep(rand.N(stopping))
				}
				h.dies(t, l)
			}
			finishOn(t, h.host, command(t, "doctor", "--sweep")).wants(t, 0)
			nstest.SameFace(t, h.host, h.before)
		})
	}
}

// A haunt is a host on which tcpmangle starts again and again, and another one that has a
// connection to it all the time.
type haunt struct {
	mode
	host, elsewhere *netns.NS
	echo            netip.AddrPort
	old             net.Conn
	before          []string // the host's face
}

func newHaunt(t *testing.T, m mode) *haunt {
	t.Helper()
	h := &haunt{mode: m, host: nstest.New(t), elsewhere: nstest.New(t)}
	of4, _ := nstest.Wire(t, 0, h.elsewhere, h.host)
	h.echo = netip.AddrPortFrom(of4, 7000)
	echo(t, h.host, "0.0.0.0:7000")
	h.old = meet(t, h.elsewhere, h.echo)
	h.before = nstest.Face(t, h.host)
	return h
}

// streams sends numbers to the echo and back until done is called, which wants each to have come
// once and in order.
func (h *haunt) streams(t *testing.T) (done func()) {
	t.Helper()
	c := meet(t, h.elsewhere, h.echo)
	nstest.Must(t, c.SetDeadline(time.Time{}))
	stop, pumped := make(chan struct{}), make(chan error, 1)
	go func() { pumped <- pump(c, stop) }()
	return func() {
		c.SetDeadline(time.Now().Add(time.Minute))
		close(stop)
		if err := <-pumped; err != nil {
			t.Error(err)
		}
	}
}

// flows wants traffic to flow: on the old connection and on a new one.
func (h *haunt) flows(t *testing.T) {
	t.Helper()
	nstest.Must(t, h.old.SetDeadline(time.Now().Add(time.Minute)))
	pings(t, h.old)
	visits(t, h.elsewhere, h.echo)
}

// passes wants it to flow while tcpmangle stands.
func (h *haunt) passes(t *testing.T) {
	t.Helper()
	h.flows(t)
	if h.through.IsValid() {
		visits(t, h.host, h.through)
	}
}

// visits connects for one ping.
func visits(t *testing.T, host *netns.NS, to netip.AddrPort) {
	t.Helper()
	c, err := nstest.Dial(host, to)
	nstest.Must(t, err)
	defer c.Close()
	nstest.Must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	pings(t, c)
}

// lives has tcpmangle start and stop in order, which clears up after the one before. It returns how
// long either takes.
func (h *haunt) lives(t *testing.T) (starting, stopping time.Duration) {
	t.Helper()
	began := time.Now()
	l := h.start(t)
	l.stands(t)
	starting = time.Since(began)
	h.passes(t)
	began = time.Now()
	l.stop(t)
	l.isGone(t)
	stopping = time.Since(began)
	nstest.SameFace(t, h.host, h.before)
	return starting, stopping
}

// dies has it killed, and looks at what it leaves.
func (h *haunt) dies(t *testing.T, l *life) {
	t.Helper()
	nstest.Must(t, l.Process.Kill())
	l.isGone(t)
	h.flows(t)
	for _, line := range nstest.Differences(h.before, nstest.Face(t, h.host)) {
		_, what, _ := strings.Cut(line, ": ")
		begins := func(prefix string) bool { return strings.HasPrefix(what, prefix) }
		if !begins("/proc/sys/net/") && !slices.ContainsFunc(h.leaves, begins) {
			t.Error(line)
		}
	}
}

// A life is that of one tcpmangle, with its command.
type life struct {
	*exec.Cmd
	up   chan struct{} // closed when it stands
	gone chan struct{} // closed when none of its processes lives
	said []string      // until then
}

func (h *haunt) start(t *testing.T) *life {
	t.Helper()
	r, w, err := os.Pipe()
	nstest.Must(t, err)
	l := &life{Cmd: command(t, h.args...), up: make(chan struct{}), gone: make(chan struct{})}
	l.Stdout, l.Stderr = w, w
	on(t, h.host, l.Cmd)
	w.Close()
	go l.listen(r, h.mode.up)
	return l
}

// listen hears what it says, until nobody is left who could say something.
func (l *life) listen(r *os.File, up string) {
	defer r.Close()
	defer close(l.gone)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		l.said = append(l.said, lines.Text())
		if strings.HasPrefix(lines.Text(), up) {
			close(l.up)
		}
	}
}

// stands waits until it does.
func (l *life) stands(t *testing.T) {
	t.Helper()
	select {
	case <-l.up:
	case <-l.gone:
		t.Fatalf("it ended while it started: %v\n%s", l.Wait(), strings.Join(l.said, "\n"))
	}
}

// stop asks it to end.
func (l *life) stop(t *testing.T) {
	t.Helper()
	nstest.Must(t, l.Process.Signal(syscall.SIGTERM))
}

// isGone waits for its end, and that of its command.
func (l *life) isGone(t *testing.T) {
	t.Helper()
	select {
	case <-l.gone:
		l.Wait()
	case <-time.After(time.Minute):
		t.Fatal("some of its processes live on")
	}
}
