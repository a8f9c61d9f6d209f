package inline

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// proxied is a proxy on a host, with a box.
func proxied(t *testing.T, host *netns.NS) *Proxy {
	t.Helper()
	p, err := NewProxy(host, tunnel.Config{})
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	run(t, &p.Way, "")
	return p
}

// put adds a service.
func put(t *testing.T, p *Proxy, s Service) Service {
	t.Helper()
	s, err := p.Add(s)
	must(t, err)
	return s
}

var redis = Service{
	Name:     "redis",
	Address:  netip.MustParseAddrPort("198.18.0.2:6379"),
	Upstream: netip.MustParseAddrPort("127.0.0.1:6379"),
}

func TestProxyIsEndToEnd(t *testing.T) {
	host := newHost(t)
	p := proxied(t, host)
	put(t, p, redis)
	l := nstest.Listen(t, host, redis.Upstream.String())
	near := dial(t, host, redis.Address)
	far := accept(t, l)
	exchange(t, near, far, "hello")
	halfClose(t, near, far)
	must(t, p.Remove(redis.Address))
}

// halfClose ends one direction, and wants the other one to go on.
func halfClose(t *testing.T, near, far *net.TCPConn) {
	t.Helper()
	must(t, near.CloseWrite())
	if rest, err := io.ReadAll(far); err != nil || len(rest) > 0 {
		t.Fatalf("instead of the end of the stream came %q, %v", rest, err)
	}
	if _, err := far.Write([]byte("after the half-close")); err != nil {
		t.Fatal(err)
	}
	must(t, far.Close())
	if rest, err := io.ReadAll(near); err != nil || string(rest) != "after the half-close" {
		t.Errorf("of the half-closed connection came %q, %v", rest, err)
	}
}

func TestProxyRefusesAsTheUpstreamDoes(t *testing.T) {
	host := newHost(t)
	put(t, proxied(t, host), redis)
	c, err := nstest.Dial(host, redis.Address)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to a closed port gave %v, %v", c, err)
	}
}

func TestProxyKnowsItsServices(t *testing.T) {
	host, router := newHost(t), newHost(t)
	nstest.Wire(t, 0, host, router)
	at := netip.MustParseAddrPort
	gatewayed(t, host, "0.0.0.0/0", "10.79.0.2")
	gatewayed(t, host, "::/0", "fd79:0::2")
	p := proxied(t, host)
	put(t, p, redis)
	listening := put(t, p, Service{Upstream: at("127.0.0.1:7"), Listen: at("127.0.0.1:17")})
	for _, refused := range []struct {
		service Service
		want    error
	}{
		{redis, errTaken},
		{Service{Address: at("198.18.0.3:1"), Upstream: at("[fd00::1]:1")}, errFamily},
		{Service{Address: at("198.18.0.3:1"), Upstream: at("127.0.0.1:1"), Listen: at("[fd00::1]:1")}, errFamily},
		{Service{Address: at("127.0.0.1:1"), Upstream: at("127.0.0.1:1")}, errLocal},
		{Service{Address: at("198.19.0.5:1"), Upstream: at("127.0.0.1:1")}, errPool},
		{Service{Address: at("[fd79:0:0:19::5]:1"), Upstream: at("[::1]:1")}, errPool},
		{Service{Address: at("198.18.0.3:1"), Upstream: at("198.19.0.5:1")}, errPool},
		{Service{Address: at("198.18.0.3:0"), Upstream: at("127.0.0.1:1")}, errPort},
		{Service{Address: at("198.18.0.3:1"), Upstream: at("127.0.0.1:0")}, errPort},
		{Service{Address: at("198.18.0.3:1"), Upstream: at("198.18.0.3:1")}, errCircle},
		{Service{Address: at("198.18.0.3:1"), Upstream: at("198.18.0.3:2")}, errCircle},
		{Service{Address: at("198.18.0.3:1"), Upstream: redis.Address}, errCircle},
		{Service{Address: at("198.18.0.3:1"), Upstream: listening.Listen}, errCircle},
		{Service{Upstream: at("127.0.0.1:9"), Listen: at("127.0.0.1:9")}, errCircle},
		{Service{Upstream: at("10.79.0.1:9"), Listen: at("0.0.0.0:9")}, errCircle},
		{Service{Upstream: at("127.0.0.1:9"), Listen: at("127.0.0.1:7")}, errCircle},
		{Service{Upstream: at("127.0.0.1:9"), Listen: listening.Listen}, syscall.EADDRINUSE},
		{Service{Upstream: at("127.0.0.1:9"), Listen: at("0.0.0.0:17")}, syscall.EADDRINUSE},
		{Service{Address: at("10.79.0.2:80"), Upstream: at("127.0.0.1:1")}, errGateway},
		{Service{Address: at("[fd79:0::2]:80"), Upstream: at("[::1]:1")}, errGateway},
	} {
		_, err := p.Add(refused.service)
		if _, ours := errors.AsType[*ServiceError](err); !ours || !errors.Is(err, refused.want) {
			t.Errorf("%+v: %v, want %v", refused.service, err, refused.want)
		}
	}
	elsewhere := put(t, p, Service{Address: at("198.18.0.9:1"), Upstream: at("198.18.0.10:1")}) // of a device under test
	if _, err := p.Add(Service{Address: at("198.18.0.10:2"), Upstream: at("127.0.0.1:1")}); !errors.Is(err, errCircle) {
		t.Errorf("the address of an upstream: %v", err)
	}
	must(t, p.Remove(elsewhere.Address))
	must(t, p.Remove(listening.Address))
	put(t, p, Service{Address: at("198.18.0.10:2"), Upstream: at("127.0.0.1:1"), Listen: listening.Listen})
	second := redis
	second.Address = netip.AddrPortFrom(redis.Address.Addr(), 6380)
	put(t, p, second)
	must(t, p.Remove(redis.Address))
	must(t, p.Remove(second.Address))
	one, other := put(t, p, Service{Upstream: redis.Upstream}), put(t, p, Service{Upstream: redis.Upstream})
	if one.Address == other.Address || one.Address.Port() != 6379 || !virtual4.Contains(one.Address.Addr()) {
		t.Errorf("%v and %v were chosen", one.Address, other.Address)
	}
}

// gatewayed gives a host a route by a gateway.
func gatewayed(t *testing.T, host *netns.NS, dst, gateway string) {
	t.Helper()
	must(t, host.Do(func() error {
		_, to, err := net.ParseCIDR(dst)
		return errors.Join(err, netlink.RouteAdd(&netlink.Route{Dst: to, Gw: net.ParseIP(gateway)}))
	}))
}

// Services on other hosts, in both IP versions, and at addresses of this host.
func TestProxyToElsewhere(t *testing.T) {
	for family, name := range []string{"IPv4", "IPv6"} {
		t.Run(name, func(t *testing.T) {
			host, elsewhere := newHost(t), newHost(t)
			of4, of6 := nstest.Wire(t, 0, host, elsewhere)
			upstream := netip.AddrPortFrom([]netip.Addr{of4, of6}[family], 80)
			before := nstest.Face(t, host)
			t.Run("through the box", func(t *testing.T) {
				p := proxied(t, host)
				wild := netip.AddrPortFrom([]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}[family], 0)
				s := put(t, p, Service{Upstream: upstream, Listen: wild})
				l := nstest.Listen(t, elsewhere, upstream.String())

				near := dial(t, host, s.Address)
				far := accept(t, l)
				exchange(t, near, far, "to the virtual address")
				if from := far.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); !host.IsLocal(from) {
					t.Errorf("the upstream sees %v, which is no address of the host", from)
				}
				halfClose(t, near, far)

				at := netip.AddrPortFrom(netip.MustParseAddr([]string{"10.79.0.1", "fd79:0::1"}[family]), s.Listen.Port())
				for _, from := range []*netns.NS{elsewhere, host} {
					near = dial(t, from, at)
					exchange(t, near, accept(t, l), "to an address of the host")
				}
				if family == 0 {
					near = dial(t, host, netip.AddrPortFrom(loopback4, s.Listen.Port()))
					exchange(t, near, accept(t, l), "to its loopback")
				}
			})
			nstest.SameFace(t, host, before)
		})
	}
}

// An address to listen at is held as a listener holds it, and let go.
func TestProxyListens(t *testing.T) {
	host := newHost(t)
	p := proxied(t, host)
	l := nstest.Listen(t, host, redis.Upstream.String())
	s := redis
	s.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	s = put(t, p, s)
	near := dial(t, host, s.Listen)
	exchange(t, near, accept(t, l), "to the loopback")
	err := host.Do(func() error {
		other, err := net.Listen("tcp", s.Listen.String()) // with SO_REUSEADDR, as servers do
		if err == nil {
			other.Close()
		}
		return err
	})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("somebody else who listens there: %v", err)
	}

	taken := Service{Upstream: redis.Upstream, Listen: redis.Upstream}
	if _, err := p.Add(taken); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("to listen where somebody listens: %v", err)
	}
	must(t, p.Remove(s.Address))
	if _, err := nstest.Dial(host, s.Listen); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after its removal: %v", err)
	}
	if links, err := host.Links(); err != nil || !slices.Contains(links, virtualName) {
		t.Errorf("links %v, %v", links, err)
	}
}

// When it is undone, nobody can add to it any more, and its addresses are free.
func TestProxyIsUndone(t *testing.T) {
	host := newHost(t)
	before := nstest.Face(t, host)
	p, err := NewProxy(host, tunnel.Config{})
	must(t, err)
	s := redis
	s.Listen = netip.MustParseAddrPort("127.0.0.1:26379")
	put(t, p, s)
	must(t, p.Undo())
	if _, err := p.Add(Service{Upstream: redis.Upstream}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a service that is added afterwards: %v", err)
	}
	must(t, p.Remove(s.Address))
	nstest.Listen(t, host, s.Listen.String())
	must(t, p.Close())
	nstest.SameFace(t, host, before)
}

// A service that several sockets share is one to us, and its address cannot be listened at.
func TestProxyToASharedPort(t *testing.T) {
	host := newHost(t)
	p := proxied(t, host)
	put(t, p, redis)
	share := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}), err)
	}}
	served := make(chan net.Conn)
	for range 2 {
		var l net.Listener
		must(t, host.Do(func() (err error) {
			l, err = share.Listen(t.Context(), "tcp", redis.Upstream.String())
			return err
		}))
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				served <- c
			}
		}()
	}
	for range 8 {
		near := dial(t, host, redis.Address)
		far := patiently(t, (<-served).(*net.TCPConn))
		exchange(t, near, far, "hello")
	}
	if _, err := p.Add(Service{Upstream: redis.Upstream, Listen: redis.Upstream}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("to listen at the service's own address: %v", err)
	}
}
