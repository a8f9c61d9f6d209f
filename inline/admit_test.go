package inline

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// From a cell everything is reached on a host that drops what it is not to forward or take, and
// nothing but the cell's own packets pass.
func TestCellBehindAFirewall(t *testing.T) {
	host, elsewhere := newHost(t), newHost(t)
	of4, of6 := nstest.Wire(t, 0, host, elsewhere)
	nstest.Gateway(t, host, "eth0")
	nstest.Firewall(t, host)
	before := nstest.Face(t, host)
	t.Run("inside", func(t *testing.T) {
		c := inCell(t, host, &Names{}, "")
		for _, to := range []netip.Addr{of4, of6} {
			l := nstest.Listen(t, elsewhere, netip.AddrPortFrom(to, 80).String())
			near := dial(t, c.NS(), netip.AddrPortFrom(to, 80))
			exchange(t, near, accept(t, l), "elsewhere")
		}
		l := nstest.Listen(t, host, "127.0.0.1:80")
		near := dial(t, c.NS(), netip.AddrPortFrom(c.Gateway(false), 80))
		exchange(t, near, accept(t, l), "the host's loopback")
		wantHooks(t, &c.Way, netns.Forwarded, netns.Delivered)
	})
	nstest.SameFace(t, host, before)
}

// What listens in a cell is reached from the host and from other cells, and not from elsewhere, where
// somebody may take the host for the way to its network.
func TestCellIsNotReachedFromElsewhere(t *testing.T) {
	host, elsewhere := newHost(t), newHost(t)
	nstest.Wire(t, 0, elsewhere, host)
	nstest.Gateway(t, host, "eth0")
	nstest.Firewall(t, host)
	c, other := inCell(t, host, &Names{}, ""), inCell(t, host, &Names{}, "")
	for i, gateway := range []string{"10.79.0.2", "fd79:0::2"} {
		at := netip.AddrPortFrom(c.Address(i == 1), 80)
		l := nstest.Listen(t, c.NS(), at.String())
		for _, from := range []*netns.NS{host, other.NS()} {
			exchange(t, dial(t, from, at), accept(t, l), "from here")
		}
		must(t, elsewhere.Do(func() error {
			to := &net.IPNet{IP: at.Addr().AsSlice(), Mask: net.CIDRMask(at.Addr().BitLen(), at.Addr().BitLen())}
			return netlink.RouteAdd(&netlink.Route{Dst: to, Gw: netip.MustParseAddr(gateway).AsSlice()})
		}))
		if connects(elsewhere, at, 300*time.Millisecond) {
			t.Errorf("%v is reached from elsewhere", at)
		}
	}
}

func wantHooks(t *testing.T, w *Way, want ...netns.Hook) {
	t.Helper()
	if got := w.Hooks(); !slices.Equal(got, want) {
		t.Errorf("hooks %v, want %v", got, want)
	}
	for _, h := range want {
		all, err := w.setup.ns.Firewalls(h, DevicePrefix)
		must(t, err)
		if len(all) != 3 || slices.ContainsFunc(all, func(f netns.Firewall) bool { return !f.Admits }) {
			t.Errorf("at %v stand %v, want three that admit our devices", h, all)
		}
	}
}

// Services of the host and of others are reached by proxies there, too.
func TestProxyBehindAFirewall(t *testing.T) {
	host, elsewhere := newHost(t), newHost(t)
	of4, of6 := nstest.Wire(t, 0, host, elsewhere)
	nstest.Firewall(t, host)
	before := nstest.Face(t, host)
	t.Run("through the box", func(t *testing.T) {
		p := proxied(t, host)
		for _, upstream := range []netip.Addr{loopback4, netip.IPv6Loopback()} {
			s := put(t, p, Service{Upstream: netip.AddrPortFrom(upstream, 80)})
			l := nstest.Listen(t, host, s.Upstream.String())
			exchange(t, dial(t, host, s.Address), accept(t, l), "to the host")
		}
		wantHooks(t, &p.Way, netns.Delivered)
		for i, upstream := range []netip.Addr{of4, of6} {
			wild := netip.AddrPortFrom([]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}[i], 0)
			s := put(t, p, Service{Upstream: netip.AddrPortFrom(upstream, 80), Listen: wild})
			l := nstest.Listen(t, elsewhere, s.Upstream.String())
			exchange(t, dial(t, host, s.Address), accept(t, l), "to elsewhere")
			at := netip.AddrPortFrom(netip.MustParseAddr([]string{"10.79.0.1", "fd79:0::1"}[i]), s.Listen.Port())
			exchange(t, dial(t, elsewhere, at), accept(t, l), "from elsewhere, and back there")
		}
	})
	nstest.SameFace(t, host, before)
}

// What an attachment forwards within the namespace passes, and what comes in is judged as before.
func TestAttachBehindAFirewall(t *testing.T) {
	for family := range 2 {
		p := newPair(t, family)
		nstest.Firewall(t, p.server)
		before := nstest.Face(t, p.server)
		t.Run("attached", func(t *testing.T) {
			w, err := Attach(p.server, []Ports{{8080, 8081}}, tunnel.Config{})
			must(t, err)
			t.Cleanup(func() { must(t, w.Close()) })
			run(t, w, "")
			wantHooks(t, w, netns.Forwarded)
			exchange(t, p.near, p.far, "open before")
			near, far := p.connect(t)
			exchange(t, near, far, "opened through the box")
			at := p.listener.Addr().(*net.TCPAddr).AddrPort().Addr()
			nstest.Listen(t, p.server, netip.AddrPortFrom(at, 8081).String())
			if connects(p.client, netip.AddrPortFrom(at, 8081), 300*time.Millisecond) {
				t.Error("connected past the firewall")
			}
		})
		nstest.SameFace(t, p.server, before)
	}
}

// connects tells whether somebody answers at an address, with so much patience.
func connects(host *netns.NS, to netip.AddrPort, patience time.Duration) bool {
	var c net.Conn
	err := host.Do(func() (err error) {
		c, err = (&net.Dialer{Timeout: patience}).Dial("tcp", to.String())
		return err
	})
	if err == nil {
		c.Close()
	}
	return err == nil
}
