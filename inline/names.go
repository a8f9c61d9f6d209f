package inline

import (
	"net/netip"
	"os"
	"slices"
	"strings"
)

// What a command in a Cell calls the host: what listens on its 127.0.0.1, and on its ::1, where it
// does IPv6. There are two names, for with one who connects would try both.
const (
	HostName  = "host.tcpmangle"
	HostName6 = "host6.tcpmangle"
)

// Names are the files by which programs find names. One that is empty does not exist.
type Names struct {
	Resolv string // /etc/resolv.conf
	Hosts  string // /etc/hosts
}

const (
	resolvFile = "/etc/resolv.conf"
	hostsFile  = "/etc/hosts"
	// upstreamsFile names the resolvers behind that of systemd, which hears nobody but
	// the loopback device.
	upstreamsFile = "/run/systemd/resolve/resolv.conf"
)

var systemdStub = netip.AddrFrom4([4]byte{127, 0, 0, 53})

// HostNames are those of this machine.
func HostNames() *Names {
	n := &Names{Resolv: textOf(resolvFile), Hosts: textOf(hostsFile)}
	if slices.Equal(nameservers(n.Resolv), []netip.Addr{systemdStub}) {
		if text := textOf(upstreamsFile); text != "" {
			n.Resolv = text
		}
	}
	return n
}

func textOf(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}

// in turns the names of a host into those behind a gateway, whose address in IPv6 is not valid if
// there is none. A resolver on the host's loopback is asked through the gateway; it is returned then.
func (n *Names) in(gateway, gateway6 netip.Addr) (resolver netip.Addr) {
	if n.Hosts != "" {
		n.Hosts = strings.TrimRight(n.Hosts, "\n") + "\n" + gateway.String() + "\t" + HostName + "\n"
		if gateway6.IsValid() {
			n.Hosts += gateway6.String() + "\t" + HostName6 + "\n"
		}
	}
	if n.Resolv == "" {
		return resolver
	}
	if len(nameservers(n.Resolv)) == 0 { // resolv.conf(5): it is on this host then
		n.Resolv = strings.TrimRight(n.Resolv, "\n") + "\nnameserver 127.0.0.1\n"
	}
	var lines []string
	for line := range strings.Lines(n.Resolv) {
		a, ok := nameserver(line)
		if !ok || !a.IsLoopback() {
			lines = append(lines, line)
			continue
		}
		if !resolver.IsValid() {
			resolver = a
			lines = append(lines, "nameserver "+gateway.String()+"\n")
		}
	}
	n.Resolv = strings.Join(lines, "")
	if resolver.Is6() {
		return loopback4 // the gateway is asked in IPv4, and resolvers listen at both
	}
	return resolver
}

// nameservers are the resolvers of a resolv.conf.
func nameservers(text string) (all []netip.Addr) {
	for line := range strings.Lines(text) {
		if a, ok := nameserver(line); ok {
			all = append(all, a)
		}
	}
	return all
}

// nameserver reads a line that names a resolver.
func nameserver(line string) (a netip.Addr, ok bool) {
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "nameserver" {
		return a, false
	}
	a, err := netip.ParseAddr(words[1])
	return a, err == nil
}
