package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An option is one setsockopt.
type option struct{ level, name, value int }

// randomOptions are buffers small enough for closed windows, and the timers that end
// a connection from above.
func randomOptions(r *rand.Rand) (all []option) {
	if r.IntN(3) == 0 {
		all = append(all, option{unix.SOL_SOCKET, unix.SO_RCVBUF, 2000 << r.IntN(6)})
	}
	if r.IntN(6) == 0 {
		all = append(all, option{unix.SOL_SOCKET, unix.SO_SNDBUF, 4000 << r.IntN(6)})
	}
	if r.IntN(3) == 0 {
		all = append(all, option{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1})
	}
	if r.IntN(8) == 0 {
		all = append(all, option{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 200 + r.IntN(1500)})
	}
	if r.IntN(8) == 0 {
		all = append(all,
			option{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			option{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1},
			option{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1},
			option{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 1 + r.IntN(2)})
	}
	return all
}

// A stage has the listeners, and hands what they accept to the couple it is for. All
// sockets do not block: an act goes on whatever its peer does.
type stage struct {
	*world
	ctx       context.Context
	listeners [2]int
	arrivals  map[netip.AddrPort]chan int // by the opener's address
	wg        sync.WaitGroup
}

func newStage(ctx context.Context, w *world) *stage {
	s := &stage{world: w, ctx: ctx, listeners: [2]int{-1, -1}, arrivals: make(map[netip.AddrPort]chan int)}
	for h := range s.listeners {
		fd, err := s.listen(h)
		if err != nil {
			w.t.Fatalf("listen: %v", err)
		}
		s.listeners[h] = fd
	}
	return s
}

func (s *stage) listen(h int) (int, error) {
	fd, err := s.socket(h, nil)
	if err != nil {
		return -1, err
	}
	err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(s.addrs[h], servePort)))
	return fd, errors.Join(err, unix.Listen(fd, 4096))
}

// socket makes one on a host; close ends it if nobody did.
func (s *stage) socket(h int, options []option) (fd int, err error) {
	family := unix.AF_INET
	if s.round.ip == 6 {
		family = unix.AF_INET6
	}
	err = s.hosts[h].Do(func() error {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, err
	}
	s.own(fd)
	set(fd, append([]option{{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}}, options...))
	return fd, nil
}

func set(fd int, options []option) {
	for _, o := range options {
		unix.SetsockoptInt(fd, o.level, o.name, o.value)
	}
}

func (s *stage) own(fd int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fds = append(s.fds, fd)
}

// disown closes a socket before the end of the stage.
func (s *stage) disown(fd int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.fds {
		if f == fd {
			s.fds[i] = s.fds[len(s.fds)-1]
			s.fds = s.fds[:len(s.fds)-1]
			unix.Close(fd)
			return
		}
	}
}

// play lets all couples act and waits for them.
func (s *stage) play(cast []*couple) {
	for _, c := range cast {
		if !c.cross {
			s.arrivals[netip.AddrPortFrom(s.addrs[c.opener], c.ports[c.opener])] = make(chan int, 8)
		}
	}
	for h := range s.listeners {
		s.wg.Go(func() { s.accept(h) })
	}
	for _, c := range cast {
		tr := s.judge.track(c, s.addrs)
		for h := range c.ports {
			s.wg.Go(func() { s.live(c, tr, h) })
		}
	}
	s.wg.Wait()
}

// accept takes connections in as fast as it can, so that the queue never overflows.
func (s *stage) accept(h int) {
	for s.ctx.Err() == nil {
		fd, sa, err := unix.Accept4(s.listeners[h], unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			s.sleep(time.Millisecond)
			continue
		}
		s.own(fd)
		arrived, ok := s.arrivals[addrPort(sa)]
		if !ok {
			s.disown(fd)
			continue
		}
		select {
		case arrived <- fd:
		default:
			s.disown(fd)
		}
	}
}

// live is one endpoint through all its lives.
func (s *stage) live(c *couple, tr *track, h int) {
	for i := range c.lives {
		if s.ctx.Err() != nil {
			return
		}
		l := &c.lives[i]
		var fd int
		var ok bool
		if c.cross || c.opener == h {
			fd, ok = s.connect(c, l, tr, h)
		} else {
			fd, ok = s.accepted(c)
			if ok {
				s.judge.begins(tr, h, "accept")
			}
		}
		if !ok {
			continue
		}
		a := &l.acts[h]
		s.perform(a, tr, h, fd)
		if a.end == endAbort {
			unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		}
		s.judge.closes(tr, h, a.end)
		s.disown(fd)
	}
}

func (s *stage) accepted(c *couple) (fd int, ok bool) {
	select {
	case fd = <-s.arrivals[netip.AddrPortFrom(s.addrs[c.opener], c.ports[c.opener])]:
		return fd, true
	case <-s.ctx.Done():
		return -1, false
	}
}

// connect opens actively. Its port may still be taken by the life before.
func (s *stage) connect(c *couple, l *life, tr *track, h int) (fd int, ok bool) {
	a := &l.acts[h]
	s.sleep(l.rest + a.late)
	for range 10 {
		fd, err := s.socket(h, a.options)
		if err != nil {
			s.t.Errorf("socket: %v", err)
			return -1, false
		}
		err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(s.addrs[h], c.ports[h])))
		if err == nil {
			err = unix.Connect(fd, sockaddr(netip.AddrPortFrom(s.addrs[1-h], c.ports[1-h])))
		}
		if err == nil || err == unix.EINPROGRESS {
			s.judge.begins(tr, h, "connect")
			return fd, true
		}
		s.disown(fd)
		if s.sleep(50 * time.Millisecond); s.ctx.Err() != nil {
			break
		}
	}
	return -1, false
}

// perform plays an act on a socket, connected or not.
func (s *stage) perform(a *act, tr *track, h, fd int) {
	set(fd, a.options)
	for _, d := range a.deeds {
		s.pause(fd, a, d.pause)
		if s.ctx.Err() != nil {
			return
		}
		switch d.do {
		case doSend:
			n := s.send(fd, a, d.bytes)
			s.judge.note(tr, h, fmt.Sprintf("%v: %d", d, n))
		case doRecv:
			n := s.recv(fd, d.bytes)
			s.judge.note(tr, h, fmt.Sprintf("%v: %d", d, n))
		case doShutdown:
			s.judge.shuts(tr, h, "shutdown")
			unix.Shutdown(fd, unix.SHUT_WR)
		}
	}
	if a.end == endStay {
		<-s.ctx.Done()
	}
}

// payload is what everybody sends: letters, in which there is something to be replaced.
var payload = func() (text [64 << 10]byte) {
	r := rand.New(rand.NewPCG(0, 0))
	for i := range text {
		text[i] = randomLetter(r)
	}
	return text
}()

const letters = "abcdefghijklmnopqrstuvwxyz"

// patience is how long a send waits for room.
const patience = 30 * time.Millisecond

func (s *stage) send(fd int, a *act, n int) (sent int) {
	for deadline := time.Now().Add(patience); sent < n && time.Now().Before(deadline); {
		m, err := unix.SendmsgN(fd, payload[:min(n-sent, len(payload))], nil, nil, unix.MSG_NOSIGNAL)
		switch {
		case err == unix.EAGAIN:
			s.pause(fd, a, time.Millisecond)
		case err != nil:
			return sent
		}
		sent += max(m, 0)
	}
	return sent
}

func (s *stage) recv(fd, n int) (got int) {
	var buf [64 << 10]byte
	for got < n {
		m, err := unix.Read(fd, buf[:min(n-got, len(buf))])
		if err != nil || m == 0 {
			break
		}
		got += m
	}
	return got
}

// pause waits, and reads meanwhile if the act does.
func (s *stage) pause(fd int, a *act, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) && s.ctx.Err() == nil; {
		if a.reads {
			s.recv(fd, 1<<20)
		}
		s.sleep(min(2*time.Millisecond, time.Until(end)))
	}
}

// sleep waits, or until the stage closes.
func (s *stage) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
