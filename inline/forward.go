package inline

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// Switching a namespace's forwarding switches that of all its devices, and of those to
// come, so what they had is kept, and put back after it.
const (
	forward4 = "net/ipv4/ip_forward"
	forward6 = "net/ipv6/conf/all/forwarding"
)

// ourDevices matches the names of all devices of ours.
const ourDevices = "mangle*"

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
	if err := s.switchOn(forward4, "net/ipv4/conf/", links); err != nil || !v6 {
		return err
	}
	if err := s.listenToRouters(links); err != nil {
		return err
	}
	return s.switchOn(forward6, "net/ipv6/conf/", links)
}

func (s *setup) switchOn(key, conf string, links []string) error {
	if _, done := s.before(key); done {
		return nil
	}
	on, err := s.ns.SysctlGet(key)
	if err != nil {
		return err
	}
	if on == "0" {
		if err := s.onlyOurs(key == forward6); err != nil {
			return err
		}
		for _, dev := range append(slices.Clone(links), "default") {
			if err := s.keepOn(conf + dev + "/forwarding"); err != nil {
				return err
			}
		}
	}
	return s.sysctl(key, "1")
}

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

// keepOn keeps a switch that is on. One that is off will be after the other way round.
func (s *setup) keepOn(key string) error {
	if on, err := s.ns.SysctlGet(key); err != nil || on == "0" {
		return err
	}
	return s.keep(key)
}

// listenToRouters lets devices go on taking their routes from router advertisements:
// one that forwards does that only with accept_ra = 2, and without it the routes that it
// has learned are thrown away at once (addrconf_fixup_forwarding in the kernel's addrconf.c).
func (s *setup) listenToRouters(links []string) error {
	for _, dev := range links {
		key := "net/ipv6/conf/" + dev + "/accept_ra"
		now, err := s.ns.SysctlGet(key)
		if err == nil && now == "1" {
			err = s.sysctl(key, "2")
		}
		if err != nil {
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
