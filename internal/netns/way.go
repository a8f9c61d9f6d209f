package netns

import (
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// HasDefaultRoute tells whether packets of an IP version find a way to anywhere.
func (n *NS) HasDefaultRoute(v6 bool) bool {
	kind, err := n.routeType(somewhere(v6))
	return err == nil && kind == unix.RTN_UNICAST
}

// somewhere is an address that nobody has: they are set aside for documents (RFC 5737, RFC 3849).
func somewhere(v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr("2001:db8::1")
	}
	return netip.MustParseAddr("192.0.2.1")
}

// IsLocal tells whether an address is one of the namespace's own.
func (n *NS) IsLocal(a netip.Addr) bool {
	kind, err := n.routeType(a)
	return err == nil && kind == unix.RTN_LOCAL
}

// IsGateway tells whether packets to others go by an address.
func (n *NS) IsGateway(a netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.route == nil {
		return false
	}
	family := netlink.FAMILY_V4
	if a.Is6() {
		family = netlink.FAMILY_V6
	}
	routes, _ := n.route.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE) // those that were read
	return slices.ContainsFunc(routes, func(r netlink.Route) bool {
		return r.Gw.Equal(a.AsSlice()) || slices.ContainsFunc(r.MultiPath, func(p *netlink.NexthopInfo) bool { return p.Gw.Equal(a.AsSlice()) })
	})
}

// DeviceTo is the device by which packets to an address go, if it is not that by which they go to
// everybody: they know of a way there. It is "" otherwise.
func (n *NS) DeviceTo(a netip.Addr) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.route == nil {
		return ""
	}
	routes, err := n.route.RouteGetWithOptions(a.AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
	if err != nil || len(routes) == 0 || routes[0].Dst == nil {
		return ""
	}
	if bits, _ := routes[0].Dst.Mask.Size(); bits == 0 {
		return ""
	}
	index := routes[0].LinkIndex
	if several := routes[0].MultiPath; len(several) > 0 {
		index = several[0].LinkIndex
	}
	link, err := n.route.LinkByIndex(index)
	if err != nil {
		return ""
	}
	return link.Attrs().Name
}

// DefaultMTU is the MTU of the device by which packets of IPv4, or of IPv6 if only they do, find
// their way to anywhere; 0 if there is none.
func (n *NS) DefaultMTU() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.route == nil {
		return 0
	}
	for _, v6 := range []bool{false, true} {
		routes, err := n.route.RouteGet(somewhere(v6).AsSlice())
		if err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_UNICAST {
			continue
		}
		if link, err := n.route.LinkByIndex(routes[0].LinkIndex); err == nil {
			return link.Attrs().MTU
		}
	}
	return 0
}

// LargestMTU is that of the device with the largest packets, but for the loopback; 0 if there is
// no other that is up.
func (n *NS) LargestMTU() (mtu int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.route == nil {
		return 0
	}
	links, _ := n.route.LinkList() // those that were read, if it changes just now
	for _, l := range links {
		if a := l.Attrs(); a.Flags&net.FlagUp != 0 && a.Flags&net.FlagLoopback == 0 {
			mtu = max(mtu, a.MTU)
		}
	}
	return mtu
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
