package inline

import (
	"net/netip"
	"testing"
)

func TestNames(t *testing.T) {
	gateway, gateway6 := netip.MustParseAddr("10.78.0.1"), netip.MustParseAddr("fd78::1")
	for _, row := range []struct {
		name, resolv, want string
		resolver           string
	}{
		{"elsewhere", "search lan\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n", "search lan\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n", ""},
		{"on the loopback", "nameserver 127.0.0.53\noptions edns0\n", "nameserver 10.78.0.1\noptions edns0\n", "127.0.0.53"},
		{"twice there", "nameserver 127.0.0.1\nnameserver 127.0.0.53\n", "nameserver 10.78.0.1\n", "127.0.0.1"},
		{"there and elsewhere", "nameserver 127.0.0.1\nnameserver 192.0.2.53\n", "nameserver 10.78.0.1\nnameserver 192.0.2.53\n", "127.0.0.1"},
		{"there in IPv6", "nameserver ::1\n", "nameserver 10.78.0.1\n", "127.0.0.1"},
		{"nowhere", "# none\n", "# none\nnameserver 10.78.0.1\n", "127.0.0.1"},
		{"unreadable", "nameserver\nnameserver here\nnameserver 192.0.2.53", "nameserver\nnameserver here\nnameserver 192.0.2.53", ""},
		{"without a file", "", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			n := &Names{Resolv: row.resolv, Hosts: "127.0.0.1 localhost"}
			var want netip.Addr
			if row.resolver != "" {
				want = netip.MustParseAddr(row.resolver)
			}
			if got := n.in(gateway, gateway6); got != want || n.Resolv != row.want {
				t.Errorf("got %v and %q, want %v and %q", got, n.Resolv, want, row.want)
			}
			if want := "127.0.0.1 localhost\n10.78.0.1\t" + HostName + "\nfd78::1\t" + HostName6 + "\n"; n.Hosts != want {
				t.Errorf("hosts %q, want %q", n.Hosts, want)
			}
		})
	}
}

func TestNamesWithoutIPv6(t *testing.T) {
	n := &Names{Hosts: "127.0.0.1 localhost\n"}
	n.in(netip.MustParseAddr("10.78.0.1"), netip.Addr{})
	if want := "127.0.0.1 localhost\n10.78.0.1\t" + HostName + "\n"; n.Hosts != want {
		t.Errorf("hosts %q, want %q", n.Hosts, want)
	}
}
