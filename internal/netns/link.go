package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LinkUp brings a device up.
func (n *NS) LinkUp(dev string) error {
	err := n.onLink(dev, func(l netlink.Link) error { return n.route.LinkSetUp(l) })
	if err != nil {
		return fmt.Errorf("link %q up: %w", dev, err)
	}
	return nil
}

// Quiet keeps the kernel from sending anything of its own accord by a device that is down, before it
// comes up: without a link-local address it solicits no routers, and without multicast it
// reports no groups.
func (n *NS) Quiet(dev string) error {
	putBack, err := n.leaveRouters(dev)
	if err == nil {
		err = n.onLink(dev, func(l netlink.Link) error {
			const none = 1 // IN6_ADDR_GEN_MODE_NONE of linux/if_link.h
			if err := n.route.LinkSetIP6AddrGenMode(l, none); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
				return err
			}
			return n.route.LinkSetMulticastOff(l)
		})
	}
	if err == nil {
		err = putBack()
	}
	if err != nil {
		return fmt.Errorf("link %q quiet: %w", dev, err)
	}
	return nil
}

// leaveRouters has a device leave the group of all routers, in which each has been from its first
// moment where the namespace forwards. In version 1 of MLD it has to tell nobody (igmp6_leave_group
// in the kernel's mcast.c). Where sysctls cannot be written, as in a container, it stays, and reports it.
func (n *NS) leaveRouters(dev string) (putBack func() error, err error) {
	conf := "net/ipv6/conf/" + dev
	nothing := func() error { return nil }
	if router, err := n.SysctlGet(conf + "/forwarding"); err != nil || router != "1" {
		return nothing, nil // or there is no IPv6
	}
	for _, key := range []string{"/force_mld_version=1", "/forwarding=0"} {
		name, value, _ := strings.Cut(key, "=")
		if err := n.Sysctl(conf+name, value); errors.Is(err, ErrReadOnlySysctl) {
			return nothing, nil
		} else if err != nil {
			return nothing, err
		}
	}
	return func() error { return n.Sysctl(conf+"/forwarding", "1") }, nil
}

// SetMTU sets a device's MTU, in bytes.
func (n *NS) SetMTU(dev string, mtu int) error {
	err := n.onLink(dev, func(l netlink.Link) error { return n.route.LinkSetMTU(l, mtu) })
	if err != nil {
		return fmt.Errorf("link %q mtu %d: %w", dev, mtu, err)
	}
	return nil
}

// AddAddr gives a device an address, usable at once: no duplicate address
// detection, no broadcast address, no peer. Once the device is up the kernel
// adds the route of the prefix, unless that is the one address. For an IPv6
// address on a device that is up, AddAddr returns when the kernel delivers to it:
// it makes that local route later, in a worker of its own (addrconf_dad_work).
func (n *NS) AddAddr(dev string, p netip.Prefix) error {
	err := n.onLink(dev, func(l netlink.Link) error {
		err := n.route.AddrAdd(l, &netlink.Addr{
			IPNet:     ipNet(p),
			Flags:     unix.IFA_F_NODAD,
			Broadcast: net.IPv4zero, // stands for none; nil would be made up from the mask
		})
		if err != nil || p.Addr().Is4() || l.Attrs().Flags&net.FlagUp == 0 {
			return err
		}
		return n.awaitLocal(p.Addr())
	})
	if err != nil {
		return fmt.Errorf("address %v on %q: %w", p, dev, err)
	}
	return nil
}

// localDeadline is far more than a kernel worker takes under any load.
const localDeadline = 10 * time.Second

// awaitLocal waits until packets to the address are delivered on this host.
func (n *NS) awaitLocal(addr netip.Addr) error {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		routes, err := n.route.RouteGet(addr.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Since(start) > localDeadline {
			return errors.New("no local route has appeared")
		}
	}
}

// AddRoute sends dst through a device, directly, without a gateway. The default
// routes are 0.0.0.0/0 and ::/0. The device has to be up.
func (n *NS) AddRoute(dst netip.Prefix, dev string) error { return n.addRoute(dst, dev, TableMain) }

// Claim sends dst through a device that is up, whatever rules of policy routing, a VPN's for example, lead
// elsewhere: in the table of local addresses, which comes before them all.
func (n *NS) Claim(dst netip.Prefix, dev string) error { return n.addRoute(dst, dev, TableLocal) }

func (n *NS) addRoute(dst netip.Prefix, dev string, table int) error {
	err := n.onLink(dev, func(l netlink.Link) error {
		return n.route.RouteAdd(&netlink.Route{
			LinkIndex: l.Attrs().Index,
			Dst:       ipNet(dst.Masked()),
			Table:     table,
			Type:      unix.RTN_UNICAST,
			Scope:     netlink.SCOPE_LINK,
		})
	})
	if err != nil {
		return fmt.Errorf("route %v dev %q: %w", dst, dev, err)
	}
	return nil
}

// AddLocalRoute has what a device brings for an address be delivered on this host, though the address is
// another device's. Who sends from this host still finds it there.
func (n *NS) AddLocalRoute(a netip.Addr, dev string) error {
	err := n.onLink(dev, func(l netlink.Link) error {
		return n.route.RouteAdd(&netlink.Route{
			LinkIndex: l.Attrs().Index,
			Dst:       ipNet(netip.PrefixFrom(a, a.BitLen())),
			Table:     TableLocal,
			Type:      unix.RTN_LOCAL,
			Scope:     netlink.SCOPE_HOST,
			Priority:  secondChoice + l.Attrs().Index,
		})
	})
	if err != nil {
		return fmt.Errorf("local route %v dev %q: %w", a, dev, err)
	}
	return nil
}

// secondChoice is the metric of the first of several routes behind the kernel's own.
const secondChoice = 1 << 16

// Unclaim takes away what Claim has made. There being none is no error.
func (n *NS) Unclaim(dst netip.Prefix, dev string) error {
	err := n.onLink(dev, func(l netlink.Link) error {
		return n.route.RouteDel(&netlink.Route{
			LinkIndex: l.Attrs().Index, Dst: ipNet(dst.Masked()), Table: TableLocal, Scope: netlink.SCOPE_LINK,
		})
	})
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("delete route %v dev %q: %w", dst, dev, err)
	}
	return nil
}

// onLink calls f with a device of the namespace.
func (n *NS) onLink(dev string, f func(netlink.Link) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.route == nil {
		return os.ErrClosed
	}
	link, err := n.route.LinkByName(dev)
	if err != nil {
		return err
	}
	return f(link)
}

// ipNet says a prefix in the words of package net.
func ipNet(p netip.Prefix) *net.IPNet {
	a := p.Addr()
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(p.Bits(), a.BitLen())}
}
