package netns

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LinkUp brings a device up.
func (n *NS) LinkUp(dev string) error {
	link, err := n.route.LinkByName(dev)
	if err == nil {
		err = n.route.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("link %q up: %w", dev, err)
	}
	return nil
}

// SetMTU sets a device's MTU, in bytes.
func (n *NS) SetMTU(dev string, mtu int) error {
	link, err := n.route.LinkByName(dev)
	if err == nil {
		err = n.route.LinkSetMTU(link, mtu)
	}
	if err != nil {
		return fmt.Errorf("link %q mtu %d: %w", dev, mtu, err)
	}
	return nil
}

// AddAddr gives a device an address, usable at once: no duplicate address
// detection, no broadcast address, no peer. Once the device is up the kernel
// adds the route of the prefix, unless that is the one address.
func (n *NS) AddAddr(dev string, p netip.Prefix) error {
	link, err := n.route.LinkByName(dev)
	if err == nil {
		err = n.route.AddrAdd(link, &netlink.Addr{
			IPNet:     ipNet(p),
			Flags:     unix.IFA_F_NODAD,
			Broadcast: net.IPv4zero, // stands for none; nil would be made up from the mask
		})
	}
	if err != nil {
		return fmt.Errorf("address %v on %q: %w", p, dev, err)
	}
	return nil
}

// AddRoute sends dst through a device, directly, without a gateway. The default
// routes are 0.0.0.0/0 and ::/0. The device has to be up.
func (n *NS) AddRoute(dst netip.Prefix, dev string) error {
	link, err := n.route.LinkByName(dev)
	if err == nil {
		err = n.route.RouteAdd(&netlink.Route{
			LinkIndex: link.Attrs().Index,
			Dst:       ipNet(dst.Masked()),
			Scope:     netlink.SCOPE_LINK,
		})
	}
	if err != nil {
		return fmt.Errorf("route %v dev %q: %w", dst, dev, err)
	}
	return nil
}

// ipNet says a prefix in the words of package net.
func ipNet(p netip.Prefix) *net.IPNet {
	a := p.Addr()
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(p.Bits(), a.BitLen())}
}
