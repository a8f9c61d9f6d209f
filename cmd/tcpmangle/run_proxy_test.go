package main

import (
	"net/netip"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/lab"
)

// Where upstreams are, and what is listened at: the upstream decides on the IP version, and no
// address is the loopback.
func TestResolve(t *testing.T) {
	for _, row := range []struct{ listen, upstream, wantListen, wantUpstream string }{
		{"", "127.0.0.1:6379", "", "127.0.0.1:6379"},
		{"", ":6379", "", "127.0.0.1:6379"},
		{"", "0.0.0.0:6379", "", "127.0.0.1:6379"},
		{"", "[::]:6379", "", "[::1]:6379"},
		{":26379", "127.0.0.1:6379", "0.0.0.0:26379", "127.0.0.1:6379"},
		{":26379", "[::1]:6379", "[::]:26379", "[::1]:6379"},
		{"[::1]:0", "[2001:db8::1]:6379", "[::1]:0", "[2001:db8::1]:6379"},
	} {
		s, err := resolve(lab.Proxy{Listen: row.listen, Upstream: row.upstream})
		nstest.Must(t, err)
		listen := ""
		if s.Listen.IsValid() {
			listen = s.Listen.String()
		}
		if listen != row.wantListen || s.Upstream != netip.MustParseAddrPort(row.wantUpstream) {
			t.Errorf("%+v: at %s to %v", row, listen, s.Upstream)
		}
	}
}
