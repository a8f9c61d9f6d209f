package netns

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
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

// Chains that drop what is forwarded are found, but for those in which our devices are named.
func TestFirewalls(t *testing.T) {
	n := newNS(t)
	wants := func(want ...string) {
		t.Helper()
		if got, err := n.Firewalls("mangle"); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	wants()
	conn, err := nftables.New(nftables.WithNetNSFd(n.FD()))
	if err != nil {
		t.Fatal(err)
	}
	table := conn.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4})
	accept, drop := nftables.ChainPolicyAccept, nftables.ChainPolicyDrop
	chain := &nftables.Chain{
		Name: "FORWARD", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &accept,
	}
	put := func() {
		t.Helper()
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	conn.AddChain(chain)
	put()
	wants()
	chain.Policy = &drop
	conn.AddChain(chain)
	put()
	wants("filter FORWARD")
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: PacketRule{In: "mangle*", Do: Refuse}.expressions()})
	put()
	wants()
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
