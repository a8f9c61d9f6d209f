package integration

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A line is two hosts with the box between them, for streams and soaks:
//
//	host 0, a namespace                the box               host 1, a namespace
//	┌──────────────────┐      ┌──────────────────────┐      ┌──────────────────┐
//	│ client 10.77.1.1 │ TUNs │ engine: N workers,   │ TUNs │ server 10.77.2.1 │
//	│        fd77:1::1 ├──────┤ rules, events, tap   ├──────┤        fd77:2::1 │
//	└──────────────────┘      └──────────────────────┘      └──────────────────┘
type line struct {
	*engine.Engine
	t       *testing.T
	ip      int
	hosts   [2]*netns.NS
	devices [2]tunnel.Device // the kernels'
	addrs   [2]netip.Addr
	stop    context.CancelFunc
	stopped chan error // has the result of Run, once
}

// A lineConfig says what lies between the hosts.
type lineConfig struct {
	ip      int
	offload tunnel.OffloadMode
	sysctls hostSettings
	rules   string
	box     engine.Config // without Devices and Rules
	// through puts something between a host's device and the box; nil: nothing.
	through func(side int, d tunnel.Device) tunnel.Device
}

// newLine makes the hosts and sets the box going. All of it is gone when the test ends.
func newLine(t *testing.T, c lineConfig) *line {
	t.Helper()
	nstest.NeedTUN(t)
	l := &line{t: t, ip: c.ip, stopped: make(chan error, 1)}
	for i := range l.hosts {
		if err := l.newHost(i, c); err != nil {
			t.Fatalf("host %d: %v", i, err)
		}
	}
	l.start(c)
	return l
}

// newHost makes a namespace with a device, an address and the way to the other.
func (l *line) newHost(i int, c lineConfig) (err error) {
	n, err := netns.New()
	if err != nil {
		return err
	}
	l.t.Cleanup(func() { n.Close() })
	l.hosts[i], l.addrs[i] = n, hostAddr(c.ip, i).Addr()
	for _, settings := range []hostSettings{{"tcp_no_metrics_save": "1"}, c.sysctls} {
		for key, value := range settings {
			if err := n.Sysctl(key, value); err != nil {
				return err
			}
		}
	}
	err = n.Do(func() error {
		l.devices[i], err = tunnel.Open(tunnel.Config{Offload: c.offload, Queues: max(c.box.Workers, 1)})
		return err
	})
	if err != nil {
		return err
	}
	l.t.Cleanup(func() { l.devices[i].Close() })
	name := l.devices[i].Name()
	return errors.Join(n.LinkUp(name), n.AddAddr(name, hostAddr(c.ip, i)), n.AddRoute(hostAddr(c.ip, 1-i), name))
}

// start sets the box going, until end or the end of the test.
func (l *line) start(c lineConfig) {
	l.t.Helper()
	c.box.Devices = l.devices
	if c.through != nil {
		for i, d := range l.devices {
			c.box.Devices[i] = c.through(i, d)
		}
	}
	c.box.Rules = mustParse(l.t, c.rules)
	var err error
	if l.Engine, err = engine.New(c.box); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	go func() { l.stopped <- l.Run(ctx) }()
	l.t.Cleanup(func() {
		cancel()
		<-l.stopped
	})
}

// mustParse is rules.Parse of a test's own text.
func mustParse(t *testing.T, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// end stops the box once all connections are over and nothing waits in it, and wants that
// nothing was lost but to rules.
func (l *line) end() {
	l.t.Helper()
	l.settle()
	l.stop()
	err := <-l.stopped
	l.stopped <- nil // for the clean-up
	if err != nil {
		l.t.Errorf("the box has ended: %v", err)
	}
	if lost, err := l.RingDrops(); lost != 0 || err != nil {
		l.t.Errorf("the rings have lost %d packets: %v", lost, err)
	}
	for i, n := range l.Stats().Losses {
		if n > 0 {
			l.t.Errorf("%d segments were lost: %s", n, engine.LossNames()[i])
		}
	}
}

// settle waits for the end of all connections. Then rules find no more data, and
// sleep, so that what still waits is the last.
func (l *line) settle() {
	l.t.Helper()
	idle := func() bool { return l.Stats().Waiting == 0 }
	l.await("the sockets to end", func() bool { return l.over(0) && l.over(1) && idle() })
	if err := l.Call(func(b *engine.Box, now time.Duration) { b.Heal(now) }); err != nil {
		l.t.Error(err)
	}
	l.await("nothing to wait in the box", idle)
}

// over tells whether no connection of a host has anything to say of its own accord.
func (l *line) over(host int) bool {
	l.t.Helper()
	sockets, err := l.hosts[host].Sockets()
	if err != nil {
		l.t.Fatal(err)
	}
	return !slices.ContainsFunc(sockets, func(s netns.Socket) bool { return s.State != "LISTEN" && s.State != "TIME_WAIT" })
}

// longest is how long anything may take, on a machine with much else to do.
const longest = 30 * time.Second

// await waits until something holds.
func (l *line) await(what string, holds func() bool) {
	l.t.Helper()
	for end := time.Now().Add(longest); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("waited %v for %s", longest, what)
		}
	}
}

// streamOptions are those of all sockets: time does not run out before the
// longest, and the sending end decides alone how a stream is cut. Its whole data fits
// the send buffer, and the receiver's window never closes.
var streamOptions = []option{
	{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
	{unix.SOL_SOCKET, unix.SO_OOBINLINE, 1},
	{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 32 << 20},
	{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32 << 20},
}

// socket makes a blocking one on a host. It uses cubic: others pace, and cut a stream
// by the clock.
func (l *line) socket(host int, options []option) (fd int, err error) {
	family := unix.AF_INET
	if l.ip == 6 {
		family = unix.AF_INET6
	}
	err = l.hosts[host].Do(func() error {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, err
	}
	limit := unix.NsecToTimeval(int64(longest))
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit),
		unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic"),
	)
	for _, o := range options {
		err = errors.Join(err, unix.SetsockoptInt(fd, o.level, o.name, o.value))
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("socket options: %w", err)
	}
	return fd, nil
}

// listen makes a listener on the server.
func (l *line) listen(options []option) (fd int, err error) {
	if fd, err = l.socket(1, options); err != nil {
		return -1, err
	}
	err = errors.Join(unix.Bind(fd, sockaddr(netip.AddrPortFrom(l.addrs[1], servePort))), unix.Listen(fd, 4096))
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen: %w", err)
	}
	return fd, nil
}

// dial connects from the client to the server's listener.
func (l *line) dial(options []option) (fd int, err error) {
	if fd, err = l.socket(0, options); err != nil {
		return -1, err
	}
	if err := uninterrupted(func() error { return unix.Connect(fd, sockaddr(netip.AddrPortFrom(l.addrs[1], servePort))) }); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

// connect makes one connection; the ends are those of client and server.
func (l *line) connect() (ends [2]int) {
	l.t.Helper()
	listener, err := l.listen(streamOptions)
	if err != nil {
		l.t.Fatal(err)
	}
	defer unix.Close(listener)
	if ends[0], err = l.dial(streamOptions); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { unix.Close(ends[0]) })
	err = uninterrupted(func() error {
		ends[1], _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
		return err
	})
	if err != nil {
		l.t.Fatalf("accept: %v", err)
	}
	l.t.Cleanup(func() { unix.Close(ends[1]) })
	return ends
}

// uninterrupted repeats a system call that a signal has ended: the runtime sends some.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
