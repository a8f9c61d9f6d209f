package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// plainTCP listens without Multipath TCP, which is Go's default for listeners.
var plainTCP = func() (c net.ListenConfig) { c.SetMultipathTCP(false); return c }()

// listen opens a listener inside n that the test closes.
func listen(t testing.TB, n *NS, addr string) *net.TCPListener {
	t.Helper()
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = plainTCP.Listen(t.Context(), "tcp", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// pair opens a connection over loopback inside n: who dialed, who accepted.
func pair(t testing.TB, n *NS, l *net.TCPListener, target string) (client, server *net.TCPConn) {
	t.Helper()
	var c net.Conn
	err := n.Do(func() (err error) {
		c, err = net.DialTimeout("tcp", target, patience)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	client, server = c.(*net.TCPConn), s
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// patience is for a machine with much else to do.
const patience = 30 * time.Second

// until waits for a condition.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain until %s", patience, what)
		}
	}
}

// find waits for the socket from local to remote to be in a state, and returns
// it. A zero remote is a listener's; an empty state stands for no such socket.
func find(t testing.TB, n *NS, local, remote netip.AddrPort, state string) Socket {
	t.Helper()
	var found Socket
	until(t, fmt.Sprintf("the socket %v to %v is in state %q", local, remote, state), func() bool {
		socks, err := n.Sockets()
		if err != nil {
			t.Fatal(err)
		}
		found = Socket{}
		for _, s := range socks {
			if s.Local == local && (s.Remote == remote || !remote.IsValid() && s.Remote.Port() == 0) {
				found = s
			}
		}
		return found.State == state
	})
	return found
}

func addrPort(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// One connection through its life, each state as the kernel names it, over IPv4,
// IPv6, and IPv4 into an IPv6 listener.
func TestSocketsThroughALife(t *testing.T) {
	rows := []struct{ name, listen, dial string }{
		{"ipv4", "127.0.0.1:8080", "127.0.0.1:8080"},
		{"ipv6", "[::1]:8080", "[::1]:8080"},
		{"mapped", "[::]:8080", "127.0.0.1:8080"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			n := newNS(t)
			l := listen(t, n, r.listen)
			listener := find(t, n, addrPort(l.Addr()), netip.AddrPort{}, "LISTEN")
			if listener.Inode == 0 || listener.SendQueue == 0 {
				t.Errorf("listener %+v: want an inode, and the backlog as send queue", listener)
			}

			c, s := pair(t, n, l, r.dial)
			client, server := addrPort(c.LocalAddr()), addrPort(s.LocalAddr())
			find(t, n, client, server, "ESTABLISHED")
			find(t, n, server, client, "ESTABLISHED")

			c.Write([]byte("ping"))
			until(t, "4 bytes wait", func() bool {
				return find(t, n, server, client, "ESTABLISHED").RecvQueue == 4
			})

			c.CloseWrite()
			find(t, n, client, server, "FIN_WAIT_2")
			if got := find(t, n, server, client, "CLOSE_WAIT"); got.Inode == 0 {
				t.Errorf("%+v: want an inode", got)
			}

			c.Close() // what is left is a minisocket of the kernel's
			var orphan Socket
			until(t, "the socket has no process", func() bool {
				orphan = find(t, n, client, server, "FIN_WAIT_2")
				return orphan.Inode == 0
			})
			if orphan.Timer != TimerTimeWait || orphan.Expires < 50*time.Second || orphan.Expires > 65*time.Second {
				t.Errorf("%+v: want the timewait timer at about 60 s", orphan)
			}

			s.Read(make([]byte, 4)) // unread data would make Close send a RST
			s.Close()
			if got := find(t, n, client, server, "TIME_WAIT"); got.Inode != 0 || got.Timer != TimerTimeWait {
				t.Errorf("%+v: want no inode and the timewait timer", got)
			}
			find(t, n, server, client, "")
		})
	}
}

// blackhole makes 10.77.1.1 an address of n, and 10.77.2.1 one that swallows
// everything: what leaves for it by loopback comes back and is nobody's.
func blackhole(t *testing.T, n *NS) {
	t.Helper()
	for _, err := range []error{
		n.AddAddr("lo", netip.MustParsePrefix("10.77.1.1/32")),
		n.AddRoute(netip.MustParsePrefix("10.77.2.1/32"), "lo"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSocketsInHandshake(t *testing.T) {
	n := newNS(t)
	blackhole(t, n)
	err := n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) })
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{10, 77, 1, 1}, Port: 40000}); err != nil {
			return err
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{10, 77, 2, 1}, Port: 8080}); err != unix.EINPROGRESS {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	local, remote := netip.MustParseAddrPort("10.77.1.1:40000"), netip.MustParseAddrPort("10.77.2.1:8080")
	s := find(t, n, local, remote, "SYN_SENT")
	if s.Timer != TimerRetransmit || s.Expires <= 0 || s.Expires > 2*time.Second {
		t.Errorf("%+v: want the retransmission timer within a second or so", s)
	}
	until(t, "the SYN goes out again", func() bool { // after 1 s
		return find(t, n, local, remote, "SYN_SENT").Retransmits > 0
	})
}

// A request socket: the SYN is there, its answer goes nowhere.
func TestSocketsOfRequests(t *testing.T) {
	n := newNS(t)
	blackhole(t, n)
	for _, addr := range []string{"[::]:8080", "10.77.1.1:8081"} {
		listen(t, n, addr)
	}
	for _, port := range []uint16{8080, 8081} {
		sendSYN(t, n, port)
		local := netip.AddrPortFrom(netip.MustParseAddr("10.77.1.1"), port)
		s := find(t, n, local, netip.MustParseAddrPort("10.77.2.1:40000"), "SYN_RCVD")
		if s.Inode != 0 || s.Timer != TimerRetransmit {
			t.Errorf("%+v: want a request: no inode, the retransmission timer", s)
		}
		if err := n.Destroy(s); err != nil {
			t.Errorf("destroy a request: %v", err)
		}
		find(t, n, s.Local, s.Remote, "")
	}
}

func TestDestroy(t *testing.T) {
	rows := []struct{ name, listen, dial string }{
		{"ipv4", "127.0.0.1:8080", "127.0.0.1:8080"},
		{"ipv6", "[::1]:8080", "[::1]:8080"},
		{"mapped", "[::]:8080", "127.0.0.1:8080"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			n := newNS(t)
			l := listen(t, n, r.listen)
			c, s := pair(t, n, l, r.dial)
			client, server := addrPort(c.LocalAddr()), addrPort(s.LocalAddr())

			stale := find(t, n, server, client, "ESTABLISHED")
			stale.cookie++
			if err := n.Destroy(stale); !errors.Is(err, unix.ENOENT) {
				t.Errorf("destroy with another socket's cookie: got %v, want ENOENT", err)
			}
			err := n.Destroy(find(t, n, server, client, "ESTABLISHED"))
			if errors.Is(err, unix.EOPNOTSUPP) {
				t.Skip("this kernel has no SOCK_DESTROY")
			}
			if err != nil {
				t.Fatal(err)
			}
			find(t, n, server, client, "")
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNABORTED) {
				t.Errorf("the owner reads %v, want ECONNABORTED", err)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("the peer reads %v, want ECONNRESET", err)
			}

			err = n.Destroy(Socket{Local: server, Remote: client})
			if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), client.String()) {
				t.Errorf("destroy what is gone: got %v, want ENOENT that names the socket", err)
			}
			listener := find(t, n, addrPort(l.Addr()), netip.AddrPort{}, "LISTEN") // not hit by the above
			if err := n.Destroy(listener); err != nil {
				t.Errorf("destroy the listener: %v", err)
			}
			find(t, n, addrPort(l.Addr()), netip.AddrPort{}, "")
		})
	}
}

// A Socket that somebody made up names the connection all the same.
func TestDestroyByAddresses(t *testing.T) {
	n := newNS(t)
	l := listen(t, n, "[::]:8080")
	c, s := pair(t, n, l, "127.0.0.1:8080")
	client, server := addrPort(c.LocalAddr()), addrPort(s.LocalAddr())
	err := n.Destroy(Socket{Local: client, Remote: server})
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("this kernel has no SOCK_DESTROY")
	}
	if err != nil {
		t.Fatal(err)
	}
	find(t, n, client, server, "")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNABORTED) {
		t.Errorf("the owner reads %v, want ECONNABORTED", err)
	}
}

// More sockets than one answer of the kernel holds, by several callers at once.
func TestSocketsMany(t *testing.T) {
	n := newNS(t)
	l := listen(t, n, "127.0.0.1:8080")
	const conns = 400
	for range conns {
		pair(t, n, l, "127.0.0.1:8080")
	}
	results := make(chan int, 4)
	for range cap(results) {
		go func() {
			socks, err := n.Sockets()
			if err != nil {
				t.Error(err)
			}
			results <- len(socks)
		}()
	}
	for range cap(results) {
		if got := <-results; got != 2*conns+1 {
			t.Errorf("%d sockets, want %d", got, 2*conns+1)
		}
	}
}

func TestPollingAllocatesNothing(t *testing.T) {
	n := newNS(t)
	l := listen(t, n, "[::]:8080")
	pair(t, n, l, "127.0.0.1:8080")
	var socks []Socket
	allocs := testing.AllocsPerRun(100, func() {
		var err error
		if socks, err = n.AppendSockets(socks[:0]); err != nil || len(socks) != 3 {
			t.Fatalf("%d sockets, %v", len(socks), err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per poll, want none", allocs)
	}
}

func BenchmarkSockets(b *testing.B) {
	n := newNS(b)
	l := listen(b, n, "127.0.0.1:8080")
	for range 3 {
		pair(b, n, l, "127.0.0.1:8080")
	}
	var socks []Socket
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if socks, err = n.AppendSockets(socks[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
