package netns

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func wantTables(t *testing.T, n *NS, want ...string) {
	t.Helper()
	got, err := n.Tables()
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("tables %v, %v; want %v", got, err, want)
	}
}

// Tables stand side by side, and go one by one.
func TestTables(t *testing.T) {
	n := newNS(t)
	one, err := n.OpenTable()
	if err != nil {
		t.Fatal(err)
	}
	two, err := n.OpenTable()
	if err != nil {
		t.Fatal(err)
	}
	wantTables(t, n, "tcpmangle", "tcpmangle-2")
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	wantTables(t, n, "tcpmangle-2")
	if err := two.conn.CloseLasting(); err != nil { // as if the process had died
		t.Error(err)
	}
	wantTables(t, n)
}

// A redirect leads a connection elsewhere, until it is removed.
func TestRedirect(t *testing.T) {
	n := newNS(t)
	table, err := n.OpenTable()
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	var l net.Listener
	dial := func() error {
		return n.Do(func() error {
			c, err := net.DialTimeout("tcp", "127.0.0.1:81", time.Minute)
			if err == nil {
				c.Close()
			}
			return err
		})
	}
	err = n.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:80")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	there := PacketRule{
		Hook: Sending, Local: true, Out: "l*", NotTo: "eth0", Proto: unix.IPPROTO_TCP, Dport: 81,
		Src: netip.MustParsePrefix("127.0.0.0/8"), Dst: netip.MustParsePrefix("127.0.0.1/32"),
		Do: Redirect, To: netip.MustParseAddrPort("127.0.0.1:80"),
	}
	elsewhere := there
	elsewhere.Dst = netip.MustParsePrefix("127.0.0.2/32")
	if err := table.Add("other", elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := dial(); err == nil {
		t.Error("connected by a rule for another address")
	}
	if err := table.Add("one", there); err != nil {
		t.Fatal(err)
	}
	if err := dial(); err != nil {
		t.Errorf("through the redirect: %v", err)
	}
	if err := table.Remove("one"); err != nil {
		t.Fatal(err)
	}
	if err := dial(); err == nil {
		t.Error("connected after the rule was removed")
	}
}

func TestWhereAddressesLead(t *testing.T) {
	n := newNS(t)
	if n.HasDefaultRoute(false) || n.HasDefaultRoute(true) {
		t.Error("a new namespace has a default route")
	}
	if !n.IsLocal(netip.MustParseAddr("127.0.0.1")) || n.IsLocal(netip.MustParseAddr("192.0.2.1")) {
		t.Error("127.0.0.1 is local, 192.0.2.1 is not")
	}
	if err := n.AddRoute(netip.MustParsePrefix("0.0.0.0/0"), "lo"); err != nil {
		t.Fatal(err)
	}
	if !n.HasDefaultRoute(false) || n.HasDefaultRoute(true) {
		t.Error("the default route of IPv4 is not seen")
	}
}

// A way that is known to an address is told apart from that to everybody.
func TestGatewaysAndNeighbours(t *testing.T) {
	n := newNS(t)
	must(t, n.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"})
	}))
	must(t, errors.Join(n.LinkUp("peer"), n.LinkUp("eth0")))
	for _, net := range []string{"10.0.0.1/24", "fd00::1/64"} {
		must(t, n.AddAddr("eth0", netip.MustParsePrefix(net)))
	}
	route := func(r netlink.Route) { must(t, n.Do(func() error { return netlink.RouteAdd(&r) })) }
	route(netlink.Route{Gw: net.ParseIP("10.0.0.2")})
	route(netlink.Route{Dst: ipNet(netip.MustParsePrefix("fd01::/64")), Gw: net.ParseIP("fd00::2")})
	route(netlink.Route{Dst: ipNet(netip.MustParsePrefix("10.1.0.0/24")), MultiPath: []*netlink.NexthopInfo{
		{Gw: net.ParseIP("10.0.0.3")}, {Gw: net.ParseIP("10.0.0.4")},
	}})
	for _, row := range []struct {
		address string
		gateway bool
		device  string
	}{
		{"10.0.0.2", true, "eth0"}, {"10.0.0.4", true, "eth0"}, {"fd00::2", true, "eth0"},
		{"10.0.0.5", false, "eth0"}, {"10.1.0.5", false, "eth0"}, {"fd01::5", false, "eth0"},
		{"192.0.2.1", false, ""}, {"2001:db8::1", false, ""},
	} {
		a := netip.MustParseAddr(row.address)
		if gateway, device := n.IsGateway(a), n.DeviceTo(a); gateway != row.gateway || device != row.device {
			t.Errorf("%v: a gateway %v, by %q; want %v, %q", a, gateway, device, row.gateway, row.device)
		}
	}
}

// Sizes are those of devices that are up, the loopback aside.
func TestMTUs(t *testing.T) {
	n := newNS(t)
	wants := func(byDefault, largest int) {
		t.Helper()
		if d, l := n.DefaultMTU(), n.LargestMTU(); d != byDefault || l != largest {
			t.Errorf("by default %d, at most %d; want %d and %d", d, l, byDefault, largest)
		}
	}
	wants(0, 0)
	for dev, mtu := range map[string]int{"small": 1300, "large": 9000} {
		must(t, n.Do(func() error {
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: dev, MTU: mtu}, PeerName: dev + "-peer"})
		}))
		must(t, n.SetMTU(dev+"-peer", mtu))
	}
	up := func(dev string) { must(t, errors.Join(n.LinkUp(dev), n.LinkUp(dev+"-peer"))) }
	wants(0, 0)
	up("small")
	wants(0, 1300)
	up("large")
	must(t, n.AddRoute(netip.MustParsePrefix("::/0"), "small"))
	wants(1300, 9000)
	must(t, n.AddAddr("large", netip.MustParsePrefix("10.0.0.1/24")))
	must(t, n.AddRoute(netip.MustParsePrefix("0.0.0.0/0"), "large"))
	wants(9000, 9000)
}

func TestCookie(t *testing.T) {
	one, other := newNS(t), newNS(t)
	first, second := one.Cookie(), other.Cookie()
	if again := one.Cookie(); again != first || first == second {
		t.Errorf("cookies %d, then %d; of another one %d", first, again, second)
	}
}

// Rules that look up local addresses of some packets only are not the one of all of them.
func TestLocalPriority(t *testing.T) {
	n := newNS(t)
	for _, v6 := range []bool{false, true} {
		for _, at := range []int{0, 100} {
			must(t, n.AddRule(Rule{V6: v6, Priority: at / 2, IIF: "lo", Table: TableLocal}))
			if got, err := n.LocalPriority(v6); got != at || err != nil {
				t.Errorf("IPv6 %v: at %d, %v, want %d", v6, got, err, at)
			}
			must(t, n.DelRule(Rule{V6: v6, Priority: at / 2, IIF: "lo", Table: TableLocal}))
			if at == 0 {
				must(t, n.AddRule(Rule{V6: v6, Priority: 100, Table: TableLocal}))
				must(t, n.DelRule(Rule{V6: v6, Priority: 0, Table: TableLocal}))
			}
		}
	}
}

// What the doctor asks can be done here, or it says what is missing.
func TestMachine(t *testing.T) {
	newNS(t)
	for name, check := range map[string]func() error{
		"tun": CheckTUN, "namespaces": CheckNS, "destroy": CheckDestroy, "nftables": CheckNFTables,
		"rights here": func() error { return CheckRights(false) }, "rights elsewhere": func() error { return CheckRights(true) },
	} {
		if err := check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !Has(NetAdmin) || !Has(SysAdmin) {
		t.Error("namespaces can be made without the rights to")
	}
}
