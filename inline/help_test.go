package inline

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/rules"
)

// The hosts of the tests: a client, and a server with a wire between them.
var (
	clientAddrs = []netip.Addr{netip.MustParseAddr("10.79.0.1"), netip.MustParseAddr("fd7a::1")}
	serverAddrs = []netip.Addr{netip.MustParseAddr("10.79.0.2"), netip.MustParseAddr("fd7a::2")}
)

// newHost is a namespace that the test takes down.
func newHost(t *testing.T) *netns.NS {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// lay lays a veth pair between two hosts.
func lay(t *testing.T, client, server *netns.NS) {
	t.Helper()
	must(t, client.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(server.FD()),
		})
	}))
	for _, h := range []struct {
		ns    *netns.NS
		addrs []netip.Addr
	}{{client, clientAddrs}, {server, serverAddrs}} {
		must(t, h.ns.LinkUp("eth0"))
		for _, a := range h.addrs {
			bits := 24
			if a.Is6() {
				bits = 64
			}
			must(t, h.ns.AddAddr("eth0", netip.PrefixFrom(a, bits)))
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen listens in a namespace.
func listen(t *testing.T, ns *netns.NS, addr netip.AddrPort) net.Listener {
	t.Helper()
	var l net.Listener
	must(t, ns.Do(func() (err error) {
		l, err = net.Listen("tcp", addr.String())
		return err
	}))
	t.Cleanup(func() { l.Close() })
	return l
}

// dial connects from a namespace. A dialer that waits would wait on another thread, so
// it is the socket that is made inside.
func dial(t *testing.T, ns *netns.NS, addr netip.AddrPort) net.Conn {
	t.Helper()
	c, err := dialed(ns, addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func dialed(ns *netns.NS, addr netip.AddrPort) (c net.Conn, err error) {
	err = ns.Do(func() (err error) {
		c, err = net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
		return err
	})
	return c, err
}

// run puts a box between the devices of a way, until the test ends.
func run(t *testing.T, w *Way, text string) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Config{Devices: w.Devices(), Rules: rules.MustParse(text), Seed: 1})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

// exchange sends text both ways and checks that it arrives.
func exchange(t *testing.T, a, b net.Conn, text string) {
	t.Helper()
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		if _, err := fmt.Fprint(way[0], text); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := readFull(way[1], got); err != nil || string(got) != text {
			t.Fatalf("%q arrived as %q: %v", text, got, err)
		}
	}
}

func readFull(c net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = c.Read(b[n:])
		n += m
	}
	return n, err
}

// face is all of a namespace that a way in may change: links, rules, routes, and
// sysctls.
func face(t *testing.T, ns *netns.NS) (lines []string) {
	t.Helper()
	must(t, ns.Do(func() error {
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			rules, err := netlink.RuleList(family)
			if err != nil {
				return err
			}
			for _, r := range rules {
				lines = append(lines, fmt.Sprintf("rule %d %v", family, r))
			}
			routes, err := netlink.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
			if err != nil {
				return err
			}
			for _, r := range routes {
				lines = append(lines, fmt.Sprintf("route %d %v table %d", family, r.Dst, r.Table))
			}
		}
		return sysctlLines(&lines)
	}))
	links, err := ns.Links()
	must(t, err)
	lines = append(lines, "links "+strings.Join(links, " "))
	slices.Sort(lines)
	return lines
}

func sysctlLines(lines *[]string) error {
	for _, key := range []string{
		"ipv4/ip_forward", "ipv4/tcp_early_demux", "ipv4/conf/all/rp_filter", "ipv4/conf/eth0/rp_filter",
		"ipv4/conf/eth0/forwarding", "ipv6/conf/all/forwarding", "ipv6/conf/eth0/forwarding", "ipv4/conf/all/accept_local",
	} {
		text, err := os.ReadFile("/proc/sys/net/" + key)
		if err != nil {
			return err
		}
		*lines = append(*lines, key+" = "+strings.TrimSpace(string(text)))
	}
	return nil
}

// sameFace fails if a namespace does not look as it did.
func sameFace(t *testing.T, ns *netns.NS, before []string) {
	t.Helper()
	after := face(t, ns)
	for _, line := range before {
		if !slices.Contains(after, line) {
			t.Errorf("gone: %s", line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			t.Errorf("left behind: %s", line)
		}
	}
}
