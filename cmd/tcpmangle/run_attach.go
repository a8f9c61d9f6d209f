package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/rules"
)

// An attached is the box in a namespace in which services run already.
type attached struct {
	*inline.Way
	ns    *netns.NS
	name  string
	ports []inline.Ports
}

// attach leads ports through the box.
func (f *runFlags) attach(ports []inline.Ports) (wayIn, error) {
	ns, name, err := f.target()
	if err != nil {
		return nil, err
	}
	w, err := inline.Attach(ns, ports, f.device())
	if err != nil {
		return nil, &machineError{errors.Join(err, ns.Close())}
	}
	return &attached{w, ns, name, ports}, nil
}

// target is the namespace to attach to.
func (f *runFlags) target() (ns *netns.NS, name string, err error) {
	path := ""
	switch {
	case f.netns != "":
		name, path = "namespace "+f.netns, inline.NamespacePath(f.netns)
	case f.pid != 0:
		name, path = fmt.Sprintf("the namespace of process %d", f.pid), inline.ProcessPath(f.pid)
	case f.container != "":
		pid, err := inline.ContainerPID(f.container)
		if err != nil {
			return nil, "", &usageError{err, "docker ps, or podman ps, lists those that run"}
		}
		name, path = "container "+f.container, inline.ProcessPath(pid)
	default:
		ns, err = netns.Here()
		return ns, "this namespace", err
	}
	if ns, err = netns.Open(path); errors.Is(err, os.ErrNotExist) {
		hint := "ip netns list"
		if f.pid != 0 {
			hint = "has the process ended?"
		}
		return nil, "", &usageError{err, hint}
	}
	return ns, name, err
}

// portsOf are the ports that rules are about, and those of --port.
func (f *runFlags) portsOf(set *rules.Set) (all []inline.Ports, err error) {
	for _, text := range f.ports {
		ranges, err := rules.ParseRanges(text)
		if err != nil {
			return nil, &usageError{err: fmt.Errorf("--port: %w", err)}
		}
		if all, err = appendPorts(all, ranges); err != nil {
			return nil, &usageError{err: fmt.Errorf("--port %s: %w", text, err)}
		}
	}
	for _, r := range set.Rules {
		ports := rulePorts(r)
		if len(ports) == 0 && len(f.ports) == 0 {
			return nil, &usageError{
				fmt.Errorf("%s:%d: rule %q names no port, so it is not known what to lead through the box", r.File, r.Line, r.Name),
				"match = { port = 8080 }, or --port 8080",
			}
		}
		if all, err = appendPorts(all, ports); err != nil {
			return nil, &usageError{err: fmt.Errorf("%s:%d: rule %q: %w", r.File, r.Line, r.Name, err)}
		}
	}
	if len(all) == 0 {
		return nil, &usageError{errors.New("there is nothing to do: neither ports nor proxies"), "-f RULES, --port, --proxy or --toxiproxy"}
	}
	return all, nil
}

// rulePorts are those that a rule is about; none: it is about all.
func rulePorts(r *rules.Rule) (all rules.Ranges) {
	if len(r.Match.Port) > 0 {
		return r.Match.Port
	}
	for _, s := range r.Match.Server {
		if s.Ports.Lo == 0 {
			return nil
		}
		all = append(all, s.Ports)
	}
	return all
}

var errPorts = errors.New("ports are from 1 to 65535")

// appendPorts adds ranges that are not there yet.
func appendPorts(all []inline.Ports, ranges rules.Ranges) ([]inline.Ports, error) {
	for _, r := range ranges {
		if r.Lo < 1 || r.Lo > r.Hi || r.Hi > 65535 {
			return nil, errPorts
		}
		p := inline.Ports{From: uint16(r.Lo), To: uint16(r.Hi)}
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all, nil
}

func (a *attached) host() *netns.NS { return a.ns }

func (a *attached) where() string {
	var ports []string
	for _, p := range a.ports {
		ports = append(ports, p.String())
	}
	d := a.Devices()
	return fmt.Sprintf("in %s: port %s by %s and %s", a.name, strings.Join(ports, ", "), d[0].Name(), d[1].Name())
}

// alone tells whether the namespace has no device but its loopback and ours, so that
// nothing can come in that would be led through the box.
func (a *attached) alone() bool {
	links, err := a.ns.Links()
	d := a.Devices()
	return err == nil && !slices.ContainsFunc(links, func(name string) bool {
		return name != "lo" && name != d[0].Name() && name != d[1].Name()
	})
}

// admits refuses rules about ports that are not led through the box.
func (a *attached) admits(set *rules.Set) error {
	for _, r := range set.Rules {
		for _, want := range rulePorts(r) {
			if !slices.ContainsFunc(a.ports, func(p inline.Ports) bool { return int64(p.From) <= want.Lo && want.Hi <= int64(p.To) }) {
				return fmt.Errorf("%s:%d: rule %q is about port %v, which does not go through the box; start again for that", r.File, r.Line, r.Name, want)
			}
		}
	}
	return nil
}

func (a *attached) close() error { return errors.Join(a.Way.Close(), a.ns.Close()) }
