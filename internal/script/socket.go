package script

import (
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A socket is one kernel socket, non-blocking and in the runtime's poller, so
// that a thousand waiting scripts cost no thread. One task uses it; Kill,
// Vanish and the end of the context may come in from the side.
type socket struct {
	file     *os.File // owns the descriptor
	raw      syscall.RawConn
	kind     kind
	sent     int64 // payload bytes, the offset in this connection's stream
	received int64
}

// adopt takes over a non-blocking descriptor.
func adopt(fd int, k kind) (*socket, error) {
	f := os.NewFile(uintptr(fd), "tcp")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &socket{file: f, raw: raw, kind: k}, nil
}

// control runs f on the descriptor without waiting for anything.
func (s *socket) control(f func(fd int) error) error {
	var err error
	if closed := s.raw.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return closed
	}
	return err
}

// awaitRead repeats f until it need not wait to read any more. Before each
// wait it calls waiting.
func (s *socket) awaitRead(waiting func(), f func(fd int) error) error {
	return await(s.raw.Read, waiting, f)
}

// awaitWrite is awaitRead for writing.
func (s *socket) awaitWrite(waiting func(), f func(fd int) error) error {
	return await(s.raw.Write, waiting, f)
}

func await(poll func(func(fd uintptr) bool) error, waiting func(), f func(fd int) error) error {
	var err error
	ended := poll(func(fd uintptr) bool {
		for {
			err = f(int(fd))
			switch err {
			case unix.EINTR:
				continue
			case unix.EAGAIN, unix.EINPROGRESS, unix.EALREADY:
				waiting()
				return false
			}
			return true
		}
	})
	if ended != nil {
		return ended // closed, or interrupted
	}
	return err
}

// interrupt ends the command that waits on the socket, and every later wait.
func (s *socket) interrupt() { s.file.SetDeadline(time.Unix(1, 0)) }

// apply makes settings, up to the first that the kernel refuses.
func (s *socket) apply(settings []setting) error {
	return s.control(func(fd int) error {
		for _, set := range settings {
			if err := set(fd); err != nil {
				return err
			}
		}
		return nil
	})
}

// ends are the socket's addresses as the kernel knows them; of a connection on
// its way only the local one.
func (s *socket) ends() (local, remote netip.AddrPort) {
	s.control(func(fd int) error {
		if sa, err := unix.Getsockname(fd); err == nil {
			local = addrPort(sa)
		}
		if sa, err := unix.Getpeername(fd); err == nil {
			remote = addrPort(sa)
		}
		return nil
	})
	return local, remote
}

// vanish closes a socket without a word to its peer, as a power loss would: a
// connection under repair is cut off when it closes, whatever its state (Linux,
// __tcp_close). That needs CAP_NET_ADMIN over the namespace; without it the
// socket stays open. A listener, which cannot be repaired, has nothing to send
// once its queue is drained: requests in SYN_RCVD end silently with it.
func (s *socket) vanish() error {
	if s.kind == listener {
		return s.file.Close()
	}
	err := s.control(func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, 1)
	})
	if err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return s.file.Close()
}

// accept takes a connection off the listener's queue.
func (s *socket) accept(waiting func()) (*socket, error) {
	var nfd int
	err := s.awaitRead(waiting, func(fd int) (err error) {
		nfd, _, err = unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, err
	}
	return adopt(nfd, connection)
}

// drain takes the connections off the queue of a listener that nobody accepted.
func (s *socket) drain() []*socket {
	var queued []*socket
	s.control(func(fd int) error {
		for {
			nfd, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != nil {
				return err // at the latest EAGAIN
			}
			if c, err := adopt(nfd, connection); err == nil {
				queued = append(queued, c)
			}
		}
	})
	return queued
}

// die closes the socket as the end of a process does: at once, even where
// SO_LINGER would have close(2) wait.
func (s *socket) die() error {
	s.control(func(fd int) error {
		l, err := unix.GetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER)
		if err != nil || l.Onoff == 0 || l.Linger == 0 {
			return err
		}
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{})
	})
	return s.file.Close()
}

// sockaddr is an address as system calls take it.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// addrPort is the reverse of sockaddr.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
