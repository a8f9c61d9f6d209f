package inline

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// The devices of an attachment, in the namespace of the service: packets from
// elsewhere go through the outer one, what the host itself sends through the local one.
//
//	elsewhere ──► eth0 ─rule 51─► mangle0 ──► box ──► mangle1 ──► local socket
//	elsewhere ◄── eth0 ◄───────── mangle0 ◄── box ◄── mangle1 ◄─rule 50─ local socket
const (
	outerName = "mangle0"
	localName = "mangle1"

	outerTable = 7007
	localTable = 7008
)

// Attach leads the TCP traffic of some ports in a namespace through two devices,
// whoever listens or connects there, also of connections that are open already. What
// the namespace sends to itself stays as it is.
//
// Closing undoes it completely. If the process is killed, its devices vanish, the
// rules lead nowhere, and packets take their old way; Sweep clears up the rest.
func Attach(ns *netns.NS, ports []Ports, c tunnel.Config) (*Way, error) {
	w := &Way{setup: newSetup(ns)}
	err := CheckAttach(ns)
	if err == nil {
		err = w.setup.begin("attachment")
	}
	if err == nil {
		err = w.attach(ns, ports, c)
	}
	if err != nil {
		return nil, fmt.Errorf("attach: %w", errors.Join(err, w.Close()))
	}
	return w, nil
}

// Ports is a range of TCP ports, both ends included.
type Ports struct{ From, To uint16 }

// String is "8080", or "8000-8099".
func (p Ports) String() string {
	if p.From == p.To {
		return strconv.Itoa(int(p.From))
	}
	return fmt.Sprintf("%d-%d", p.From, p.To)
}

func (w *Way) attach(ns *netns.NS, ports []Ports, c tunnel.Config) error {
	c = sized(c, ns.LargestMTU())
	for i, name := range []string{outerName, localName} {
		c.Name = name
		if err := w.open(ns, i, c); err != nil {
			return err
		}
	}
	v6 := hasIPv6(ns)
	if err := w.attachSysctls(v6); err != nil {
		return err
	}
	for _, d := range w.devices {
		if err := tunnel.Up(d); err != nil {
			return err
		}
	}
	families := []bool{false}
	if v6 {
		families = append(families, true)
	}
	for _, v6 := range families {
		if err := w.attachRoutes(ns, ports, v6); err != nil {
			return err
		}
	}
	return nil
}

// attachSysctls lets the namespace forward between its devices, and take back from
// ours what it has sent itself. What comes in by the local device is for a firewall to judge as
// before: what goes in or out by the outer one, it will judge there, or has judged already.
//
// With early demux a packet of a known socket is bound to it before it is routed, and
// is dropped when it is then forwarded to us (measured): the handshake would pass and
// nothing after it.
func (w *Way) attachSysctls(v6 bool) error {
	ours := []string{"rp_filter=0", "accept_local=1", "send_redirects=0"}
	for _, key := range []string{"net.ipv4.tcp_early_demux", "net.ipv4.conf.all.rp_filter"} {
		if err := w.setup.sysctl(key, "0"); err != nil {
			return err
		}
	}
	if err := w.setup.forwarding(v6); err != nil {
		return err
	}
	if err := w.setup.admit(netns.Forwarded, outerName); err != nil {
		return err
	}
	for _, d := range w.devices {
		for _, text := range ours {
			if err := w.setup.ownSysctl(d.Name(), text); err != nil {
				return err
			}
		}
	}
	return nil
}

// attachRoutes leads the ports through our devices. The table of local addresses,
// which comes first by default, has to come after the rules for what arrives here.
func (w *Way) attachRoutes(ns *netns.NS, ports []Ports, v6 bool) error {
	if v6 {
		if err := errors.Join(enableIPv6(ns, outerName), enableIPv6(ns, localName)); err != nil {
			return err
		}
	}
	if err := ns.DefaultRoute(v6, outerName, outerTable); err != nil {
		return err
	}
	if err := ns.DefaultRoute(v6, localName, localTable); err != nil {
		return err
	}
	for _, table := range []int{outerTable, localTable} { // whose record is gone with its container
		if err := ns.DelRulesTo(table, v6); err != nil {
			return err
		}
	}
	first, err := ns.HasRule(v6, 0, netns.TableLocal)
	if err != nil {
		return err
	}
	for i, r := range attachRules(ports, v6) {
		there, err := w.setup.addRule(r)
		if err != nil {
			return err
		}
		first = first || i == 0 && there // one of us has moved it, and left it so
	}
	if !first {
		return nil // somebody else has moved it, behind rules that go on being the first
	}
	return w.setup.delRule(netns.Rule{V6: v6, Priority: 0, Table: netns.TableLocal})
}

// behindOurs is the priority of the local table while we are there, behind our rules. Others who move
// that table, Cilium for one, have it at 100.
const behindOurs = 99

// attachRules are the rules of one family, in the order in which they are added: what
// leaves our devices goes its old way, by whatever rules there are behind ours, and only then
// others are led to them.
func attachRules(ports []Ports, v6 bool) (rules []netns.Rule) {
	rules = append(rules, netns.Rule{V6: v6, Priority: behindOurs, Table: netns.TableLocal})
	for _, dev := range []string{outerName, localName} {
		rules = append(rules, netns.Rule{V6: v6, Priority: 40, IIF: dev, Goto: behindOurs})
	}
	rules = append(rules, netns.Rule{V6: v6, Priority: 49, IIF: "lo", Table: netns.TableLocal})
	for _, p := range ports {
		span := [2]uint16{p.From, p.To}
		for _, r := range []netns.Rule{
			{Priority: 50, IIF: "lo", Table: localTable},
			{Priority: 51, Table: outerTable},
		} {
			r.V6, r.TCP = v6, true
			there, back := r, r
			there.Dport, back.Sport = span, span
			rules = append(rules, there, back)
		}
	}
	return rules
}

// hasIPv6 tells whether a namespace does IPv6 at all.
func hasIPv6(ns *netns.NS) bool {
	off, err := ns.SysctlGet("net.ipv6.conf.all.disable_ipv6")
	return err == nil && off == "0"
}

// enableIPv6 has a device of ours do IPv6 where devices do not by default.
func enableIPv6(ns *netns.NS, dev string) error {
	key := "net/ipv6/conf/" + dev + "/disable_ipv6"
	if off, err := ns.SysctlGet(key); err != nil || off == "0" {
		return err
	}
	return ns.Sysctl(key, "0")
}
