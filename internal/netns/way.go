package netns

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// HasDefaultRoute tells whether packets of an IP version find a way to anywhere.
func (n *NS) HasDefaultRoute(v6 bool) bool {
	somewhere := netip.MustParseAddr("192.0.2.1") // set aside for documents (RFC 5737)
	if v6 {
		somewhere = netip.MustParseAddr("2001:db8::1") // RFC 3849
	}
	kind, err := n.routeType(somewhere)
	return err == nil && kind == unix.RTN_UNICAST
}

// IsLocal tells whether an address is one of the namespace's own.
func (n *NS) IsLocal(a netip.Addr) bool {
	kind, err := n.routeType(a)
	return err == nil && kind == unix.RTN_LOCAL
}

// routeType is what the kernel does with packets to an address.
func (n *NS) routeType(a netip.Addr) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.route == nil {
		return 0, os.ErrClosed
	}
	routes, err := n.route.RouteGet(a.AsSlice())
	if err != nil || len(routes) == 0 {
		return 0, err
	}
	return routes[0].Type, nil
}
