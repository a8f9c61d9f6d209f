package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/control"
	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// A symptom is one thing that the doctor looks at.
type symptom struct {
	Name   string   `json:"name"`
	OK     bool     `json:"ok"`
	For    []string `json:"needed_for"` // commands; none: it is good to know
	Detail string   `json:"detail"`
	Hint   string   `json:"hint,omitempty"` // what mends it
}

// A diagnosis is what this machine can do.
type diagnosis struct {
	Commands  map[string]bool `json:"commands"` // lab, exec, run: by name, whether they can work here
	Symptoms  []symptom       `json:"checks"`
	Leftovers int             `json:"leftovers"`
	Swept     int             `json:"swept"`
	Socket    string          `json:"swept_socket,omitempty"` // of an API at which nobody listened any more
}

// diagnosed are the commands that a diagnosis is about, in the order in which it lists them.
var diagnosed = []string{"lab", "exec", "run"}

func doctorCommand() *cobra.Command {
	var sweep, asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "What this machine can do, and what is missing",
		Long: `Doctor tries what labs, exec and run need, leaves nothing behind, and says what is missing and
what mends it. With --sweep it clears up after runs that were killed, and removes the
socket of their API.

Exit status: 3 if this machine cannot even run labs.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := diagnose(sweep)
			if err != nil {
				return &machineError{err}
			}
			write := d.write
			if asJSON {
				write = func(w io.Writer) error { return writeJSON(w, d) }
			}
			if err := write(cmd.OutOrStdout()); err != nil {
				return err
			}
			if !d.Commands["lab"] {
				return &exitError{exitMachine}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&sweep, "sweep", false, "undo what runs that were killed have left behind")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// diagnose looks at everything.
func diagnose(sweep bool) (*diagnosis, error) {
	d := &diagnosis{Commands: make(map[string]bool)}
	if sweep {
		var err error
		if d.Swept, err = inline.SweepAll(); err == nil {
			d.Socket, err = sweepSocket()
		}
		if err != nil {
			return nil, fmt.Errorf("sweep: %w", err)
		}
	}
	d.Leftovers = inline.Leftovers()
	for _, look := range []func() []symptom{lookAtDevice, lookAtRights, lookAtKernel, lookAtHost, d.lookAtLeftovers} {
		d.Symptoms = append(d.Symptoms, look()...)
	}
	for _, name := range diagnosed {
		d.Commands[name] = true
	}
	for _, s := range d.Symptoms {
		for _, name := range s.For {
			d.Commands[name] = d.Commands[name] && s.OK
		}
	}
	return d, nil
}

// sweepSocket removes the socket at which calls would look for an instance, if there is none; it tells which one.
func sweepSocket() (swept string, err error) {
	c, err := client.New("")
	if err != nil {
		return "", err
	}
	if removed, err := control.Sweep(c.Address()); !removed || err != nil {
		return "", err
	}
	return c.Address(), nil
}

// found is a symptom as a check of package netns tells it.
func found(name, detail string, err error, needed ...string) symptom {
	s := symptom{Name: name, OK: err == nil, For: needed, Detail: detail}
	if s.For == nil {
		s.For = []string{}
	}
	if err != nil {
		s.Detail = err.Error()
	}
	if missing, ok := errors.AsType[*netns.MissingError](err); ok {
		s.Detail, s.Hint = missing.Err.Error(), missing.Hint
	}
	return s
}

func lookAtDevice() []symptom {
	return []symptom{found("/dev/net/tun", "may be opened", netns.CheckTUN(), "lab", "exec", "run")}
}

// lookAtRights: labs can do without rights where there are user namespaces.
func lookAtRights() (all []symptom) {
	for _, c := range []struct {
		name   string
		right  netns.Capability
		is     string
		needed []string
	}{
		{"CAP_NET_ADMIN", netns.NetAdmin, "devices, routes, sysctls", []string{"exec", "run"}},
		{"CAP_SYS_ADMIN", netns.SysAdmin, "namespaces; of run, --netns, --pid and --container need it", []string{"exec"}},
		{"CAP_BPF", netns.BPF, "packets are steered to several workers; else the kernel chooses", nil},
	} {
		all = append(all, found(c.name, c.is, lacks(c.right, c.is), c.needed...))
	}
	users := found("user namespaces", "labs run without root", netns.CheckUserNS())
	if netns.NeedUserNS() {
		users.For = []string{"lab"}
	}
	return append(all, users)
}

// lacks is nil if this process has a right.
func lacks(right netns.Capability, is string) error {
	if netns.Has(right) {
		return nil
	}
	return &netns.MissingError{Hint: "run as root", Err: errors.New("missing: " + is)}
}

func lookAtKernel() []symptom {
	if netns.NeedUserNS() {
		return nil // the rest can only be tried with the right to
	}
	return []symptom{
		found("network namespaces", "can be made, and their sockets listed", netns.CheckNS(), "lab", "exec"),
		found("sock_diag destroy", "labs can take sockets away, as a power loss does", netns.CheckDestroy()),
		found("nftables", "masquerades, and leads addresses of this host to services", netns.CheckNFTables(), "exec"),
	}
}

// lookAtHost looks at what this host does with packets.
func lookAtHost() (all []symptom) {
	host, err := netns.Here()
	if err != nil {
		return []symptom{found("this host", "", err)}
	}
	defer host.Close()
	for _, s := range []struct{ key, zero, one string }{
		{"net.ipv4.ip_forward", "off; exec and run switch it on for their devices only, while they run", "on"},
		{"net.ipv4.tcp_early_demux", "off", "on; an attachment switches it off while it runs, for it would swallow its packets"},
	} {
		value, err := host.SysctlGet(s.key)
		detail := s.one
		if value == "0" {
			detail = s.zero
		}
		all = append(all, found(s.key, detail, err))
	}
	if netns.Has(netns.NetAdmin) {
		all = append(all, found("sysctls", "those of an attachment have their values, or can be written", inline.CheckAttach(host), "run"))
	}
	hooks := []netns.Hook{netns.Forwarded, netns.Delivered}
	walls := firewalls(host, hooks)
	barred := func(f netns.Firewall) bool { return f.Owned && !f.Admits }
	if names := namesOf(walls, barred); names != "" {
		all = append(all, symptom{Name: "firewall of a process", For: []string{}, Detail: names + ": our devices do not pass", Hint: firewallHint})
	}
	if names := namesOf(walls, func(f netns.Firewall) bool { return !barred(f) }); names != "" {
		all = append(all, found("firewall", names+": our devices pass while exec and run are there", nil))
	}
	if legacyFirewall(host, hooks) {
		all = append(all, symptom{Name: "iptables-legacy", For: []string{}, Detail: legacyDetail, Hint: legacyHint})
	}
	return all
}

// firewalls are the chains that drop what no rule accepts.
func firewalls(host *netns.NS, hooks []netns.Hook) (all []netns.Firewall) {
	for _, h := range hooks {
		walls, _ := host.Firewalls(h, inline.DevicePrefix) // without nftables there are none
		all = append(all, walls...)
	}
	return all
}

// namesOf are those of which something is true, in a list.
func namesOf(walls []netns.Firewall, is func(netns.Firewall) bool) string {
	var names []string
	for _, f := range walls {
		if is(f) {
			names = append(names, f.Name)
		}
	}
	return strings.Join(names, ", ")
}

// legacyFirewall tells whether one drops our packets that only its own command can change.
func legacyFirewall(host *netns.NS, hooks []netns.Hook) bool {
	return slices.ContainsFunc(hooks, host.LegacyFirewall)
}

const (
	firewallHint = "have it accept what comes in and what goes out by " + inline.DevicePrefix + "*"
	legacyDetail = "drops by its policy what our devices bring or get, unless a rule of it lets that pass"
	legacyHint   = "iptables-legacy -I FORWARD -i mangle+ -j ACCEPT; iptables-legacy -I FORWARD -o mangle+ -j ACCEPT; " +
		"iptables-legacy -I INPUT -i mangle+ -j ACCEPT; ip6tables-legacy likewise"
)

// warn says which firewalls of a host our devices pass by now, and which drop their packets,
// before somebody wonders. The hooks are those of the way in.
func warn(w io.Writer, host *netns.NS, hooks []netns.Hook) {
	walls := firewalls(host, hooks)
	if names := namesOf(walls, func(f netns.Firewall) bool { return f.Admits }); names != "" {
		fmt.Fprintf(w, "tcpmangle: notice: our devices pass the firewall while we run: %s\n", names)
	}
	if names := namesOf(walls, func(f netns.Firewall) bool { return !f.Admits }); names != "" {
		fmt.Fprintf(w, "tcpmangle: notice: our devices do not pass the firewall: %s\nhint: %s\n", names, firewallHint)
	}
	if legacyFirewall(host, hooks) {
		fmt.Fprintf(w, "tcpmangle: notice: iptables-legacy %s\nhint: %s\n", legacyDetail, legacyHint)
	}
}

func (d *diagnosis) lookAtLeftovers() []symptom {
	s := symptom{Name: "leftovers", OK: d.Leftovers == 0, For: []string{}, Detail: "none"}
	if d.Leftovers > 0 {
		s.Detail = fmt.Sprintf("of %s that %s killed", count(d.Leftovers, "run"), wasOrWere(d.Leftovers))
		s.Hint = "tcpmangle doctor --sweep"
	}
	return []symptom{s}
}

func wasOrWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func (d *diagnosis) write(w io.Writer) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range d.Symptoms {
		mark := "ok"
		if !s.OK {
			mark = "--"
		}
		fmt.Fprintf(columns, "%s\t%s\t%s\n", mark, s.Name, s.Detail)
		if s.Hint != "" {
			fmt.Fprintf(columns, "\t\thint: %s\n", s.Hint)
		}
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	if d.Swept > 0 {
		fmt.Fprintf(w, "cleared up after %s\n", count(d.Swept, "run"))
	}
	if d.Socket != "" {
		fmt.Fprintf(w, "removed %s, at which nobody listens\n", d.Socket)
	}
	for _, name := range diagnosed {
		can := "works here"
		if !d.Commands[name] {
			can = "cannot work here"
		}
		fmt.Fprintf(w, "%-4s %s\n", name, can)
	}
	return nil
}
