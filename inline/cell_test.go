package inline

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// inCell is a cell on a host, with a box.
func inCell(t *testing.T, host *netns.NS, names *Names, text string) *Cell {
	t.Helper()
	c, err := NewCell(host, names, tunnel.Config{})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	run(t, &c.Way, text)
	return c
}

// From a cell everything is reached that the host reaches, in its name.
func TestCell(t *testing.T) {
	host, elsewhere := newHost(t), newHost(t)
	of4, of6 := nstest.Wire(t, 0, host, elsewhere)
	nstest.Gateway(t, host, "eth0")
	before := nstest.Face(t, host)
	t.Run("inside", func(t *testing.T) {
		cells := []*Cell{inCell(t, host, &Names{}, ""), inCell(t, host, &Names{}, "")}
		for _, to := range []netip.Addr{of4, of6} {
			l := nstest.Listen(t, elsewhere, netip.AddrPortFrom(to, 80).String())
			for _, c := range cells {
				near := dial(t, c.NS(), netip.AddrPortFrom(to, 80))
				far := accept(t, l)
				exchange(t, near, far, "elsewhere")
				if from := far.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); !host.IsLocal(from) {
					t.Errorf("the server sees %v, which is no address of the host", from)
				}
				halfClose(t, near, far)
			}
		}
		l := nstest.Listen(t, host, "127.0.0.1:80")
		l6 := nstest.Listen(t, host, "[::1]:81")
		for _, c := range cells {
			near := dial(t, c.NS(), netip.AddrPortFrom(c.Gateway(false), 80))
			exchange(t, near, accept(t, l), "the host's loopback")
			near = dial(t, c.NS(), netip.AddrPortFrom(c.Gateway(true), 81))
			exchange(t, near, accept(t, l6), "its loopback in IPv6")
		}
	})
	nstest.SameFace(t, host, before)
}

// Who sends everything to a VPN, by a rule before the table main, has the packets to a command and to virtual
// addresses all the same.
func TestWaysBehindPolicyRouting(t *testing.T) {
	host := newHost(t)
	nstest.Wire(t, 0, host, newHost(t))
	for _, v6 := range []bool{false, true} {
		must(t, host.DefaultRoute(v6, "eth0", 77))
		must(t, host.AddRule(netns.Rule{V6: v6, Priority: 200, Table: 77}))
	}
	before := nstest.Face(t, host)
	t.Run("inside", func(t *testing.T) {
		proxy, cell := proxied(t, host), inCell(t, host, &Names{}, "")
		for _, upstream := range []string{"127.0.0.1:80", "[::1]:80"} {
			l := nstest.Listen(t, host, upstream)
			s := put(t, proxy, Service{Upstream: netip.MustParseAddrPort(upstream)})
			exchange(t, dial(t, host, s.Address), accept(t, l), "to a virtual address")
			gateway := netip.AddrPortFrom(cell.Gateway(s.Address.Addr().Is6()), 80)
			exchange(t, dial(t, cell.NS(), gateway), accept(t, l), "from the cell")
			must(t, proxy.Remove(s.Address))
		}
	})
	nstest.SameFace(t, host, before)
}

// A resolver on the host's loopback is asked through the gateway.
func TestCellAsksTheHostsResolver(t *testing.T) {
	host := newHost(t)
	var resolver net.PacketConn
	must(t, host.Do(func() (err error) {
		resolver, err = net.ListenPacket("udp", "127.0.0.53:53")
		return err
	}))
	defer resolver.Close()
	names := &Names{Resolv: "nameserver 127.0.0.53\n"}
	c := inCell(t, host, names, "")
	if want := "nameserver " + c.Gateway(false).String() + "\n"; names.Resolv != want {
		t.Errorf("resolv.conf %q, want %q", names.Resolv, want)
	}
	var asker net.Conn
	must(t, c.NS().Do(func() (err error) {
		asker, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.Gateway(false), 53)))
		return err
	}))
	defer asker.Close()
	for _, e := range []interface{ SetDeadline(time.Time) error }{asker, resolver} {
		must(t, e.SetDeadline(time.Now().Add(time.Minute)))
	}
	_, err := asker.Write([]byte("where?"))
	must(t, err)
	question := make([]byte, 10)
	n, from, err := resolver.ReadFrom(question)
	must(t, err)
	_, err = resolver.WriteTo(append(question[:n], " here"...), from)
	must(t, err)
	answer := make([]byte, 20)
	if n, err := asker.Read(answer); err != nil || string(answer[:n]) != "where? here" {
		t.Errorf("the answer is %q, %v", answer[:n], err)
	}
}

// A host without a way out has cells without one: what cannot be reached fails at once.
func TestCellWithoutAWayOut(t *testing.T) {
	c := inCell(t, newHost(t), &Names{}, "")
	if _, err := nstest.Dial(c.NS(), netip.MustParseAddrPort("[2001:db8::1]:80")); err == nil {
		t.Error("connected")
	}
}

// While we forward, nothing else is forwarded that was not before.
func TestOnlyOurs(t *testing.T) {
	host, left, right := newHost(t), newHost(t), newHost(t)
	nstest.Wire(t, 0, left, host)
	of4, _ := nstest.Wire(t, 1, host, right)
	nstest.Gateway(t, left, "eth0")
	nstest.Gateway(t, right, "eth1")
	must(t, host.Sysctl("net.ipv4.conf.all.proxy_arp", "1"))
	address := netip.AddrPortFrom(of4, 80)
	nstest.Listen(t, right, address.String())
	forwarded := func(patience time.Duration) bool { return connects(left, address, patience) }
	must(t, host.Sysctl(forward4, "1"))
	if !forwarded(time.Minute) {
		t.Fatal("a host that forwards does not")
	}
	must(t, host.Sysctl(forward4, "0"))
	inCell(t, host, &Names{}, "")
	wants(t, host, forward4, "1")
	if forwarded(300 * time.Millisecond) {
		t.Error("a stranger's packets were forwarded")
	}
}
