// Package nstest makes hosts for tests: network namespaces with wires between them, in
// which a test listens, connects, and looks whether everything is as it was.
package nstest

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// Must fails the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// New is a host that the test takes down. Its devices have no link-local addresses, whose
// routes would come some time later.
func New(t testing.TB) *netns.NS {
	t.Helper()
	ns, err := netns.New()
	Must(t, err)
	t.Cleanup(func() { ns.Close() })
	Must(t, ns.Sysctl("net.ipv6.conf.default.addr_gen_mode", "1"))
	return ns
}

// Wire lays a wire between eth devices of two hosts, a with addresses that end in 1, b in 2:
// 10.79.N and fd79:N. It returns the addresses of b, in IPv4 and IPv6.
func Wire(t testing.TB, n int, a, b *netns.NS) (of4, of6 netip.Addr) {
	t.Helper()
	dev := fmt.Sprintf("eth%d", n)
	Must(t, a.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: dev}, PeerName: dev, PeerNamespace: netlink.NsFd(b.FD()),
		})
	}))
	for i, host := range []*netns.NS{a, b} {
		Must(t, host.LinkUp(dev))
		of4 = netip.MustParseAddr(fmt.Sprintf("10.79.%d.%d", n, i+1))
		of6 = netip.MustParseAddr(fmt.Sprintf("fd79:%d::%d", n, i+1))
		Must(t, host.AddAddr(dev, netip.PrefixFrom(of4, 24)))
		Must(t, host.AddAddr(dev, netip.PrefixFrom(of6, 64)))
	}
	return of4, of6
}

// Gateway makes a device of Wire the way of a host to everywhere.
func Gateway(t testing.TB, host *netns.NS, dev string) {
	t.Helper()
	Must(t, host.AddRoute(netip.MustParsePrefix("0.0.0.0/0"), dev))
	Must(t, host.AddRoute(netip.MustParsePrefix("::/0"), dev))
}

// Listen listens on a host until the test ends.
func Listen(t testing.TB, host *netns.NS, address string) *net.TCPListener {
	t.Helper()
	var l net.Listener
	Must(t, host.Do(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}))
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// Dial connects from a host. A dialer that waits would wait on another thread, so it is the
// socket that is made inside.
func Dial(host *netns.NS, to netip.AddrPort) (c *net.TCPConn, err error) {
	err = host.Do(func() (err error) {
		c, err = net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(to))
		return err
	})
	return c, err
}

// Face is all of a host that a way in to the box may change: links, rules, routes, tables and
// rules of nftables, and sysctls.
func Face(t testing.TB, host *netns.NS) (lines []string) {
	t.Helper()
	Must(t, host.Do(func() error {
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			rules, err := netlink.RuleList(family)
			if err != nil {
				return err
			}
			for _, r := range rules {
				lines = append(lines, fmt.Sprintf("rule %d %v protocol %d", family, r, r.Protocol))
			}
			routes, err := netlink.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
			if err != nil {
				return err
			}
			for _, r := range routes {
				lines = append(lines, fmt.Sprintf("route %d %v table %d", family, r.Dst, r.Table))
			}
		}
		return sysctls(&lines)
	}))
	links, err := host.Links()
	Must(t, err)
	tables, err := host.Tables()
	Must(t, err)
	lines = append(lines, rules(t, host)...)
	lines = append(lines, "links "+strings.Join(links, " "), "tables "+strings.Join(tables, " "))
	slices.Sort(lines)
	return lines
}

// sysctls adds all keys of the namespace that can be read.
func sysctls(lines *[]string) error {
	return filepath.WalkDir("/proc/sys/net", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if text, err := os.ReadFile(path); err == nil && !strings.HasPrefix(path, "/proc/sys/net/netfilter/nf_conntrack_count") {
			*lines = append(*lines, path+" = "+strings.TrimSpace(string(text)))
		}
		return nil
	})
}

// Differences are what has gone from a Face, and what is left behind.
func Differences(before, after []string) (lines []string) {
	for _, line := range before {
		if !slices.Contains(after, line) {
			lines = append(lines, "gone: "+line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			lines = append(lines, "left behind: "+line)
		}
	}
	return lines
}

// SameFace fails if a host does not look as it did.
func SameFace(t testing.TB, host *netns.NS, before []string) {
	t.Helper()
	for _, line := range Differences(before, Face(t, host)) {
		t.Error(line)
	}
}
