package inline

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// Switching a namespace's forwarding switches that of all its devices, and of those to
// come, so what they had is kept, and put back after it.
const (
	forward4 = "net/ipv4/ip_forward"
	forward6 = "net/ipv6/conf/all/forwarding"
)

// DevicePrefix begins the names of all devices of ours.
const DevicePrefix = "mangle"

// ourDevices matches them.
const ourDevices = DevicePrefix + "*"

// all is every address of an IP version.
func all(v6 bool) netip.Prefix {
	if v6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// forwarding lets the namespace forward packets of IPv4 and, where it is asked for, of
// IPv6: if it has not done so before, those of our devices only.
func (s *setup) forwarding(v6 bool) error {
	links, err := s.ns.Links()
	if err != nil {
		return err
	}
	return locked(func() error { // or what another one switches just now would be kept
		if err := s.switchOn(false, links); err != nil || !v6 {
			return err
		}
		return s.switchOn(true, links)
	})
}

// switchOn switches one version's forwarding on, unless the host does by itself. Another way
// in may have done it before us: then what it has kept is ours to put back, too. The caller has
// the lock.
func (s *setup) switchOn(v6 bool, links []string) error {
	key, conf := forward4, "net/ipv4/conf/"
	if v6 {
		key, conf = forward6, "net/ipv6/conf/"
	}
	if _, done := s.before(key); done {
		return nil
	}
	on, err := s.ns.SysctlGet(key)
	other := s.otherWith(key)
	if err != nil || on == "1" && other == nil {
		return err
	}
	if err := s.onlyOurs(v6); err != nil {
		return err
	}
	if other != nil {
		s.inherit(other, conf)
	} else if err := s.keepOn(conf, append(slices.Clone(links), "default")); err != nil {
		return err
	}
	if v6 {
		if err := s.listenToRouters(links); err != nil {
			return err
		}
	}
	return s.lockedSysctl(key, "1")
}

// inherit takes over what another way in has kept of devices' switches.
func (s *setup) inherit(other *record, conf string) {
	for _, a := range other.Sysctls {
		if strings.HasPrefix(a.Key, conf) && strings.HasSuffix(a.Key, deviceForwards) && a.Key != forward6 {
			s.Sysctls = append(s.Sysctls, a)
		}
	}
}

// deviceForwards ends the key of a device's own switch.
const deviceForwards = "/forwarding"

// onlyOurs refuses to forward packets that neither come from a device of ours nor go to one.
func (s *setup) onlyOurs(v6 bool) error {
	t, err := s.table()
	if err != nil {
		return err
	}
	return t.Add("only ours", netns.PacketRule{
		Hook: netns.Forwarded, Src: all(v6), NotIn: ourDevices, NotTo: ourDevices, Do: netns.Refuse,
	})
}

// keepOn keeps the switches of devices that are on. Those that are off will be after the
// other way round. A device may not do that IP version, or be gone by now.
func (s *setup) keepOn(conf string, devices []string) error {
	for _, dev := range devices {
		key := conf + dev + deviceForwards
		on, err := s.ns.SysctlGet(key)
		if err == nil && on != "0" {
			s.Sysctls = append(s.Sysctls, assignment{key, on})
		}
		if err != nil && !errors.Is(err, netns.ErrUnknownSysctl) {
			return err
		}
	}
	return nil
}

// listenToRouters lets devices go on taking their routes from router advertisements:
// one that forwards does that only with accept_ra = 2, and without it the routes that it
// has learned are thrown away at once (addrconf_fixup_forwarding in the kernel's addrconf.c).
func (s *setup) listenToRouters(links []string) error {
	for _, dev := range links {
		key := "net/ipv6/conf/" + dev + "/accept_ra"
		now, err := s.ns.SysctlGet(key)
		if err == nil && (now == "1" || s.otherWith(key) != nil) {
			err = s.lockedSysctl(key, "2")
		}
		if err != nil && !errors.Is(err, netns.ErrUnknownSysctl) {
			return err
		}
	}
	return nil
}

// translate adds rules that translate addresses. The kernel translates only what it
// takes for a part of a connection; that includes segments outside of the window then, which
// a box is there to make.
func (s *setup) translate(key string, rules ...netns.PacketRule) error {
	t, err := s.table()
	if err == nil {
		err = t.Add(key, rules...)
	}
	if err != nil {
		return err
	}
	err = s.sysctl("net/netfilter/nf_conntrack_tcp_be_liberal", "1")
	if errors.Is(err, netns.ErrUnknownSysctl) {
		return nil
	}
	return err
}
