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
	err := w.setup.begin()
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
// ours what it has sent itself.
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
	if err := ns.DefaultRoute(v6, outerName, outerTable); err != nil {
		return err
	}
	if err := ns.DefaultRoute(v6, localName, localTable); err != nil {
		return err
	}
	for _, r := range attachRules(ports, v6) {
		if err := w.setup.addRule(r); err != nil {
			return err
		}
	}
	return w.setup.delRule(netns.Rule{V6: v6, Priority: 0, Table: netns.TableLocal})
}

// attachRules are the rules of one family, in the order in which they are added: what
// leaves our devices goes its old way, and only then others are led to them.
func attachRules(ports []Ports, v6 bool) (rules []netns.Rule) {
	rules = append(rules, netns.Rule{V6: v6, Priority: 100, Table: netns.TableLocal})
	for _, dev := range []string{outerName, localName} {
		for i, table := range []int{netns.TableLocal, netns.TableMain, netns.TableDefault, 0} {
			rules = append(rules, netns.Rule{V6: v6, Priority: 40 + i, IIF: dev, Table: table})
		}
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
