package script

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Every command but those that move bytes, which are in transfer.go.

const defaultBacklog = unix.SOMAXCONN

type listenStep struct {
	port    uint16
	backlog int
}

func (s listenStep) run(_ context.Context, t *task) (string, error) {
	l, err := t.newSocket(t.r.V6, listener)
	if err != nil {
		return "", err
	}
	if err := l.control(func(fd int) error { return s.listen(fd, t.r.V6) }); err != nil {
		return "", t.discard(l, err)
	}
	local, _ := l.ends()
	t.r.onSocket(local, netip.AddrPort{})
	return "", nil
}

func (s listenStep) listen(fd int, v6 bool) error {
	any := netip.IPv4Unspecified()
	if v6 {
		any = netip.IPv6Unspecified()
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
	}
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(any, s.port))); err != nil {
		return err
	}
	return unix.Listen(fd, s.backlog)
}

type acceptStep struct{}

func (acceptStep) run(_ context.Context, t *task) (string, error) {
	l, err := t.latest(listener)
	if err != nil {
		return "", err
	}
	c, err := l.accept(t.blocked)
	if err != nil {
		return "", err
	}
	if err := t.own(c); err != nil {
		return "", err
	}
	local, remote := c.ends()
	t.r.onSocket(local, remote)
	return fmt.Sprintf("%v from %v", local, remote), nil
}

type connectStep struct {
	host string
	port uint16
	from uint16 // 0: the kernel chooses
}

func (s connectStep) run(_ context.Context, t *task) (string, error) {
	addr, err := t.r.resolve(s.host)
	if err != nil {
		return "", err
	}
	c, err := t.newSocket(addr.Is6(), connection)
	if err != nil {
		return "", err
	}
	if err := s.bind(c, addr); err != nil {
		return "", t.discard(c, err)
	}
	if err := t.dial(c, netip.AddrPortFrom(addr, s.port)); err != nil {
		return "", t.discard(c, err)
	}
	local, remote := c.ends()
	return fmt.Sprintf("%v to %v", local, remote), nil
}

// bind takes the local port, if the script names one. Without it the kernel
// chooses when it connects, and may share a port between destinations.
func (s connectStep) bind(c *socket, to netip.Addr) error {
	if s.from == 0 {
		return nil
	}
	any := netip.IPv4Unspecified()
	if to.Is6() {
		any = netip.IPv6Unspecified()
	}
	return c.control(func(fd int) error {
		return unix.Bind(fd, sockaddr(netip.AddrPortFrom(any, s.from)))
	})
}

// dial connects and waits for the outcome. Asking connect(2) again tells it
// exactly: EALREADY as long as the state is SYN_SENT or SYN_RCVD (simultaneous
// open), then success or the error that ended it.
func (t *task) dial(c *socket, to netip.AddrPort) error {
	connect := func(fd int) error { return unix.Connect(fd, sockaddr(to)) }
	err := c.control(connect)
	if err != nil && err != unix.EINPROGRESS {
		return err
	}
	local, _ := c.ends()
	t.r.onSocket(local, to)
	if err == nil {
		return nil // on the loopback, at once
	}
	return c.awaitWrite(t.blocked, connect)
}

type shutdownStep struct{}

func (shutdownStep) run(_ context.Context, t *task) (string, error) {
	c, err := t.latest(connection)
	if err != nil {
		return "", err
	}
	return "", c.control(func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

type closeStep struct{}

func (closeStep) run(_ context.Context, t *task) (string, error) {
	s, err := t.latest(either)
	if err != nil {
		return "", err
	}
	t.remove(s)
	return "", s.file.Close()
}

type abortStep struct{}

func (abortStep) run(_ context.Context, t *task) (string, error) {
	s, err := t.latest(either)
	if err != nil {
		return "", err
	}
	t.remove(s)
	if err := s.control(setLinger(unix.Linger{Onoff: 1})); err != nil {
		s.file.Close()
		return "", err
	}
	return "", s.file.Close()
}

type sleepStep struct{ d time.Duration }

func (s sleepStep) run(ctx context.Context, t *task) (string, error) {
	t.update(func(st *Status) {
		st.Phase, st.Until = Sleeping, st.Since.Add(s.d)
	})
	timer := time.NewTimer(s.d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return "", nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

type setStep struct {
	name     string
	settings []setting
}

func (s setStep) run(_ context.Context, t *task) (string, error) {
	if len(t.open) == 0 {
		t.defaults = append(t.defaults, s.settings...)
		return "", nil
	}
	c, err := t.latest(either)
	if err != nil {
		return "", err
	}
	return "", c.apply(s.settings)
}
