package inline

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A pair is a client and a server with an open connection between them.
type pair struct {
	client, server *netns.NS
	listener       *net.TCPListener
	near, far      *net.TCPConn
}

func newPair(t *testing.T, family int) *pair {
	t.Helper()
	p := &pair{client: newHost(t), server: newHost(t)}
	of4, of6 := nstest.Wire(t, 0, p.client, p.server)
	address := netip.AddrPortFrom([]netip.Addr{of4, of6}[family], 8080)
	p.listener = nstest.Listen(t, p.server, address.String())
	p.near, p.far = p.connect(t)
	return p
}

func (p *pair) connect(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	near = dial(t, p.client, p.listener.Addr().(*net.TCPAddr).AddrPort())
	return near, accept(t, p.listener)
}

var service = []Ports{{8080, 8080}}

// TestAttach: traffic of a running server goes through the box and back, that of a
// connection that was open before too, seen from the server's and from the client's host;
// and afterwards everything is as it was.
func TestAttach(t *testing.T) {
	for family, name := range []string{"IPv4", "IPv6"} {
		for _, atClient := range []bool{false, true} {
			where := "server"
			if atClient {
				where = "client"
			}
			t.Run(name+" at the "+where, func(t *testing.T) { testAttach(t, family, atClient) })
		}
	}
}

func testAttach(t *testing.T, family int, atClient bool) {
	p := newPair(t, family)
	exchange(t, p.near, p.far, "before")
	ns := p.server
	if atClient {
		ns = p.client
	}
	for _, dev := range []string{"all", "eth0"} { // as some distributions have it
		must(t, ns.Sysctl("net.ipv4.conf."+dev+".rp_filter", "1"))
	}
	before := nstest.Face(t, ns)
	t.Run("attached", func(t *testing.T) {
		w, err := Attach(ns, service, tunnel.Config{})
		must(t, err)
		t.Cleanup(func() { must(t, w.Close()) })
		e := run(t, w, `[[rule]]
			name = "seen"
			match = { port = 8080, segment = "data+!retransmission" }
			action = "pass"`)
		exchange(t, p.near, p.far, "picked up mid-stream")
		near, far := p.connect(t)
		exchange(t, near, far, "opened through the box")
		near.Close()
		if n, err := far.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("no end of the stream, but %d bytes and %v", n, err)
		}
		if got := e.Report()[0].Fired; got != 4 {
			t.Errorf("the box saw %d data segments, want all 4; others: %v", got, others(e))
		}
	})
	nstest.SameFace(t, ns, before)
	exchange(t, p.near, p.far, "afterwards")
}

func others(e *engine.Engine) any { return e.Stats().Others }

// What leaves the devices goes by the rules that a host with several ways out has, and who has moved
// the table of local addresses finds it where it was.
func TestAttachAmongRulesOfOthers(t *testing.T) {
	for family, name := range []string{"IPv4", "IPv6"} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, family)
			far := netip.MustParseAddr([]string{"10.80.0.1", "fd80::1"}[family]) // only table 77 leads there
			must(t, p.client.AddAddr("eth0", single(far)))
			v6, table := family == 1, 77
			must(t, p.server.DefaultRoute(v6, "eth0", table))
			must(t, p.server.AddRule(netns.Rule{V6: v6, Priority: 200, Table: table}))
			must(t, p.server.AddRule(netns.Rule{V6: v6, Priority: 100, Table: netns.TableLocal})) // as Cilium has it
			must(t, p.server.DelRule(netns.Rule{V6: v6, Table: netns.TableLocal}))
			before := nstest.Face(t, p.server)
			t.Run("attached", func(t *testing.T) {
				w, err := Attach(p.server, service, tunnel.Config{})
				must(t, err)
				t.Cleanup(func() { must(t, w.Close()) })
				e := run(t, w, "")
				var c *net.TCPConn
				must(t, p.client.Do(func() (err error) {
					c, err = net.DialTCP("tcp", &net.TCPAddr{IP: far.AsSlice()}, p.listener.Addr().(*net.TCPAddr))
					return err
				}))
				exchange(t, patiently(t, c), accept(t, p.listener), "opened through the box")
				if e.Stats().Segments == 0 {
					t.Error("the box saw nothing")
				}
			})
			nstest.SameFace(t, p.server, before)
		})
	}
}

// Whatever rules others have, or make meanwhile, ours come before them, and the table of local addresses
// right behind ours: no traffic to this host goes astray by its own networks' routes.
func TestAttachComesFirst(t *testing.T) {
	for family, name := range []string{"IPv4", "IPv6"} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, family)
			v6 := family == 1
			own := p.listener.Addr().(*net.TCPAddr).AddrPort().Addr()
			must(t, p.server.AddRule(netns.Rule{V6: v6, Priority: 10, IIF: "eth0", Table: netns.TableMain}))
			must(t, p.server.DefaultRoute(v6, "eth0", 77))
			from := netlink.NewRule() // behind the first one that is not at 0, as ip rule puts it without a priority
			from.Family, from.Src, from.Table = []int{netlink.FAMILY_V4, netlink.FAMILY_V6}[family], everyone(v6), 77
			before := nstest.Face(t, p.server)
			t.Run("attached", func(t *testing.T) {
				w, err := Attach(p.server, service, tunnel.Config{})
				must(t, err)
				t.Cleanup(func() { must(t, w.Close()) })
				e := run(t, w, "")
				must(t, p.server.Do(func() error { return netlink.RuleAdd(from) }))
				near, far := p.connect(t)
				exchange(t, near, far, "opened through the box")
				other := nstest.Listen(t, p.server, netip.AddrPortFrom(own, 8081).String())
				exchange(t, dial(t, p.client, other.Addr().(*net.TCPAddr).AddrPort()), accept(t, other), "beside it")
				if n := e.Stats().Segments; n < 5 {
					t.Errorf("the box saw %d segments", n)
				}
				must(t, p.server.Do(func() error { return netlink.RuleDel(from) }))
			})
			nstest.SameFace(t, p.server, before)
		})
	}
}

// everyone is half of all addresses, in which those of tests are: the kernel takes all of them for no condition.
func everyone(v6 bool) *net.IPNet {
	if v6 {
		return &net.IPNet{IP: net.ParseIP("8000::"), Mask: net.CIDRMask(1, 128)}
	}
	return &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(1, 32)}
}

// What one that was killed has left, and whose record is gone with its container, is no hindrance, and goes
// with the next.
func TestAttachAfterALostRecord(t *testing.T) {
	p := newPair(t, 0)
	before := policy(t, p.server)
	dead, err := Attach(p.server, service, tunnel.Config{})
	must(t, err)
	for _, d := range dead.devices {
		must(t, d.Close())
	}
	must(t, dead.setup.nat.Close()) // as the kernel does
	must(t, forget(dead.setup.file))
	t.Run("attached", func(t *testing.T) {
		w, err := Attach(p.server, []Ports{{8000, 8099}}, tunnel.Config{})
		must(t, err)
		t.Cleanup(func() { must(t, w.Close()) })
		e := run(t, w, "")
		near, far := p.connect(t)
		exchange(t, near, far, "through the box")
		if e.Stats().Segments == 0 {
			t.Error("the box saw nothing")
		}
	})
	if after := policy(t, p.server); !slices.Equal(after, before) {
		t.Errorf("rules\n%s\nwere\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

// policy is what rules of policy routing a host has.
func policy(t *testing.T, host *netns.NS) []string {
	t.Helper()
	return slices.DeleteFunc(nstest.Face(t, host), func(line string) bool { return !strings.HasPrefix(line, "rule ") })
}

// Ways in that meet on a host: what it says to itself, through proxies and from a cell too, does not go through
// an attachment to the same port, and the rest does.
func TestAttachBesideOtherWays(t *testing.T) {
	p := newPair(t, 0)
	before := nstest.Face(t, p.server)
	t.Run("attached", func(t *testing.T) {
		proxy := proxied(t, p.server)
		w, err := Attach(p.server, service, tunnel.Config{})
		must(t, err)
		t.Cleanup(func() { must(t, w.Close()) })
		e := run(t, w, "")
		cell := inCell(t, p.server, &Names{}, "")
		at := netip.MustParseAddrPort
		for _, upstream := range []netip.AddrPort{at("127.0.0.1:8080"), at("[::1]:8080"), p.listener.Addr().(*net.TCPAddr).AddrPort()} {
			l := p.listener
			if upstream.Addr().IsLoopback() {
				l = nstest.Listen(t, p.server, upstream.String())
			}
			s := put(t, proxy, Service{Upstream: upstream})
			exchange(t, dial(t, p.server, s.Address), accept(t, l), "by a proxy to "+upstream.String())
			if upstream.Addr().IsLoopback() {
				gateway := netip.AddrPortFrom(cell.Gateway(upstream.Addr().Is6()), 8080)
				exchange(t, dial(t, cell.NS(), gateway), accept(t, l), "from a cell to "+upstream.String())
			}
		}
		if n := e.Stats().Segments; n != 0 {
			t.Errorf("the attachment saw %d segments of this host with itself", n)
		}
		elsewhere := nstest.Listen(t, p.client, "10.79.0.1:8080")
		s := put(t, proxy, Service{Upstream: at("10.79.0.1:8080"), Listen: at("0.0.0.0:9090")})
		for _, from := range []struct {
			host *netns.NS
			to   netip.AddrPort
		}{{p.server, s.Address}, {p.server, at("127.0.0.1:9090")}, {p.server, at("10.79.0.2:9090")}, {p.client, at("10.79.0.2:9090")}, {cell.NS(), at("10.79.0.1:8080")}} {
			exchange(t, dial(t, from.host, from.to), accept(t, elsewhere), "to elsewhere")
		}
		if e.Stats().Segments == 0 {
			t.Error("the attachment saw nothing")
		}
	})
	nstest.SameFace(t, p.server, before)
}
