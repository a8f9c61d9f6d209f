package rules

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// An AddrMatch is a network and ports in it.
type AddrMatch struct {
	Prefix netip.Prefix
	Ports  Range // 0 to 65535 if the file names none
}

// anyPort is the ports of an AddrMatch that names none.
var anyPort = Range{0, 65535}

// Match tells whether an endpoint is meant.
func (m AddrMatch) Match(endpoint netip.AddrPort) bool {
	return m.Prefix.Contains(endpoint.Addr()) && m.Ports.Match(int64(endpoint.Port()))
}

// String is the match as a rule file writes it.
func (m AddrMatch) String() string {
	text := m.Prefix.String()
	if m.Prefix.IsSingleIP() {
		text = m.Prefix.Addr().String()
	}
	switch {
	case m.Ports == anyPort:
		return text
	case m.Prefix.Addr().Is6():
		text = "[" + text + "]"
	}
	return text + ":" + m.Ports.String()
}

// Addrs are alternatives; none at all means every endpoint.
type Addrs []AddrMatch

// Match tells whether one of the alternatives holds.
func (as Addrs) Match(endpoint netip.AddrPort) bool {
	for _, m := range as {
		if m.Match(endpoint) {
			return true
		}
	}
	return len(as) == 0
}

// String lists the alternatives.
func (as Addrs) String() string { return list(as) }

// ParseAddr reads an address or CIDR, with an optional port or range of ports:
// "10.0.0.1", "10.0.0.0/8:1000-2000", "fd77::1", "[fd77::/64]:80".
func ParseAddr(text string) (AddrMatch, error) {
	network, ports, hasPorts := cutPorts(text)
	prefix, err := parsePrefix(text, network)
	if err != nil {
		return AddrMatch{}, err
	}
	m := AddrMatch{Prefix: prefix, Ports: anyPort}
	if hasPorts {
		rs, err := parseRanges(ports, 1, 65535)
		if err != nil {
			return m, fmt.Errorf("port: %w", err)
		}
		if len(rs) > 1 {
			return m, fmt.Errorf("port: %q is more than one range", ports)
		}
		m.Ports = rs[0]
	}
	return m, nil
}

// cutPorts cuts off what follows the address. Without brackets more than one colon
// means an IPv6 address alone.
func cutPorts(text string) (network, ports string, found bool) {
	if inside, ok := strings.CutPrefix(text, "["); ok {
		network, rest, closed := strings.Cut(inside, "]")
		ports, found = strings.CutPrefix(rest, ":")
		if closed && (found || rest == "") {
			return network, ports, found
		}
		return text, "", false
	}
	if strings.Count(text, ":") > 1 {
		return text, "", false
	}
	return strings.Cut(text, ":")
}

func parsePrefix(text, network string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(network); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return prefix, fmt.Errorf(`%q is not an address or CIDR; write it like "10.0.0.0/8", "10.0.0.1:80" or "[fd77::1]:80"`, text)
	}
	if right := prefix.Masked(); right != prefix {
		return prefix, fmt.Errorf("%q has bits set beyond /%d; write %q", network, prefix.Bits(), right)
	}
	return prefix, nil
}

func readAddrs(v tomldoc.Value) (as Addrs) {
	for _, item := range v.List() {
		text, ok := item.Text()
		if !ok {
			continue
		}
		m, err := ParseAddr(text)
		if err != nil {
			item.Errorf("%w", err)
		}
		as = append(as, m)
	}
	return as
}
