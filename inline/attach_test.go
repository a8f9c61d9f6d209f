package inline

import (
	"net"
	"net/netip"
	"testing"

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
