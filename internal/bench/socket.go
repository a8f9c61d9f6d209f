package bench

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A socket is a blocking TCP socket: no poller of a runtime stands between it
// and the kernel, which would be half of a short round trip. It is plain TCP,
// never Multipath TCP, with cubic: what the machine's default is would change
// what is compared (BBR paces).
type socket int

// patience bounds every blocking call, so that a broken way ends in an error. The
// price is EINTR: a call on a socket with a timeout is not restarted (signal(7)).
const patience = 5 * time.Second

func newSocket() (socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic"); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set congestion control cubic: %w", err)
	}
	return socket(fd), nil
}

// dial connects and asks for a service: its name is the first byte that is sent.
func dial(addr netip.AddrPort, service byte) (socket, error) {
	s, err := newSocket()
	if err != nil {
		return -1, err
	}
	if err = s.connect(addr); err == nil {
		err = s.write([]byte{service})
	}
	if err != nil {
		s.abort()
		return -1, fmt.Errorf("connect to %v: %w", addr, err)
	}
	return s, nil
}

func (s socket) connect(addr netip.AddrPort) error {
	if err := s.setup(); err != nil {
		return err
	}
	to := &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}
	err := unix.Connect(int(s), to)
	for err == unix.EINTR { // asking again waits on
		err = unix.Connect(int(s), to)
	}
	return err
}

// setup is for sockets that carry data.
func (s socket) setup() error {
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(int(s), unix.SOL_SOCKET, option, &limit); err != nil {
			return err
		}
	}
	return nil
}

// hurry lets small messages leave at once. Bulk leaves it to the kernel to fill
// its segments across writes.
func (s socket) hurry() error {
	return unix.SetsockoptInt(int(s), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

// listen takes connections on a port of every address.
func listen(port int) (socket, error) {
	s, err := newSocket()
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(int(s), &unix.SockaddrInet4{Port: port}); err != nil {
		return -1, fmt.Errorf("bind to port %d: %w", port, err)
	}
	return s, unix.Listen(int(s), 1024)
}

func (s socket) accept() (socket, error) {
	for {
		fd, _, err := unix.Accept4(int(s), unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			return socket(fd), socket(fd).setup()
		case unix.EINTR, unix.ECONNABORTED:
		default:
			return -1, err
		}
	}
}

// read reads what is there; the end of the stream is io.EOF.
func (s socket) read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(s), b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// fill reads until b is full.
func (s socket) fill(b []byte) error {
	for len(b) > 0 {
		n, err := s.read(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (s socket) write(b []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(int(s), b, nil, nil, unix.MSG_NOSIGNAL)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// abort closes with a RST (SO_LINGER 0): nothing is left in TIME_WAIT, and
// nothing that is queued disturbs the next measurement.
func (s socket) abort() {
	_ = unix.SetsockoptLinger(int(s), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(int(s))
}
