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
//	elsewhere ──► eth0 ─ rule ─► mangle0 ──► box ──► mangle1 ──► local socket
//	elsewhere ◄── eth0 ◄──────── mangle0 ◄── box ◄── mangle1 ◄─ rule ─ local socket
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

// attachRoutes leads the ports through our devices, by rules right before the one that looks up
// local addresses. Where that is the first of all, it moves behind ours, at its own priority, so that rules which
// others add meanwhile come behind it; a second one at 1 is where packets from our devices go on, and holds the fort.
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
	if err := clearRules(ns, v6); err != nil {
		return err
	}
	local, err := ns.LocalPriority(v6)
	if err != nil {
		return err
	}
	if local > 0 { // Cilium for one has it at 100, behind rules of its own
		return w.addRules(attachRules(ports, v6, local-1))
	}
	first := netns.Rule{V6: v6, Table: netns.TableLocal}
	second := first
	second.Priority = 1
	if err := w.addRules(append([]netns.Rule{second}, attachRules(ports, v6, first.Priority)...)); err != nil {
		return err
	}
	return w.setup.moveRule(first)
}

// clearRules takes away rules of one of us that was killed, and whose record is gone with its container.
func clearRules(ns *netns.NS, v6 bool) error {
	errs := []error{ns.DelRulesTo(outerTable, v6), ns.DelRulesTo(localTable, v6)}
	for _, r := range oldWays(v6, 0) {
		errs = append(errs, ifThere(ns.DelRule(r)))
	}
	return errors.Join(errs...)
}

func (w *Way) addRules(rules []netns.Rule) error {
	for _, r := range rules {
		if err := w.setup.addRule(r); err != nil {
			return err
		}
	}
	return nil
}

// attachRules are the rules of one family, all of one priority, in the order in which they are added: the
// old ways first, then what leads the rest to our devices.
func attachRules(ports []Ports, v6 bool, priority int) []netns.Rule {
	rules := oldWays(v6, priority)
	for _, p := range ports {
		span := [2]uint16{p.From, p.To}
		for _, r := range []netns.Rule{{IIF: "lo", Table: localTable}, {Table: outerTable}} {
			r.V6, r.Priority, r.TCP = v6, priority, true
			there, back := r, r
			there.Dport, back.Sport = span, span
			rules = append(rules, there, back)
		}
	}
	return rules
}

// oldWays are the rules by which packets are not led to our devices: what comes from them goes on behind
// all of ours, and what the namespace says to itself stays, also by way of proxies and, to its loopback,
// of exec.
func oldWays(v6 bool, priority int) []netns.Rule {
	rules := []netns.Rule{
		{IIF: outerName, Goto: priority + 1},
		{IIF: localName, Goto: priority + 1},
		{Dst: loopbackNets[version(loopback(v6))], Goto: priority + 1},
	}
	for _, dev := range []string{"lo", virtualName, upstreamName} {
		rules = append(rules, netns.Rule{IIF: dev, Table: netns.TableLocal})
	}
	for i := range rules {
		rules[i].V6, rules[i].Priority = v6, priority
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
