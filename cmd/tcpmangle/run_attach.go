package main

import (
	"errors"
	"fmt"
	"io"
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
	ns        *netns.NS
	container *inline.Container // whose namespace it is; nil: nobody's in particular
	name      string
	ports     []inline.Ports
}

// attach leads ports through the box.
func (f *runFlags) attach(ports []inline.Ports) (wayIn, error) {
	a, err := f.target()
	if err != nil {
		return nil, err
	}
	a.ports = ports
	if a.Way, err = inline.Attach(a.ns, ports, f.device()); err != nil {
		return nil, &machineError{errors.Join(err, a.letGo())}
	}
	return a, nil
}

// target is the namespace to attach to, not yet attached to.
func (f *runFlags) target() (*attached, error) {
	switch {
	case f.netns != "":
		return openTarget("namespace "+f.netns, inline.NamespacePath(f.netns), "ip netns list")
	case f.pid != 0:
		return openTarget(fmt.Sprintf("the namespace of process %d", f.pid), inline.ProcessPath(f.pid), "has the process ended?")
	case f.container != "":
		return f.targetContainer()
	}
	ns, err := netns.Here()
	return &attached{ns: ns, name: "this namespace"}, err
}

// openTarget opens a namespace by its file. The hint is for one that is not there.
func openTarget(name, path, hint string) (*attached, error) {
	ns, err := netns.Open(path)
	return newTarget(name, ns, err, hint)
}

func newTarget(name string, ns *netns.NS, err error, hint string) (*attached, error) {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, inline.ErrNotRunning) {
		err = &usageError{err, hint}
	}
	return &attached{ns: ns, name: name}, err
}

func (f *runFlags) targetContainer() (*attached, error) {
	c, err := inline.OpenContainer(f.container)
	if err != nil {
		hint := "docker ps, or podman ps, lists those that run"
		if errors.Is(err, inline.ErrElsewhere) {
			hint = "is the engine on another machine, or are we in a container? --pid and --netns take what is seen here"
		}
		return nil, &usageError{err, hint}
	}
	ns, err := c.NetNS()
	a, err := newTarget("container "+f.container, ns, err, "has the container ended?")
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	a.container = c
	return a, nil
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

// ended is closed when what was attached to is no more: containers end, other ways in do not.
func (a *attached) ended() <-chan struct{} {
	if a == nil || a.container == nil {
		return nil
	}
	return a.container.Ended()
}

// warn tells why nothing may happen, before somebody wonders.
func (a *attached) warn(w io.Writer) {
	if a.alone() {
		fmt.Fprintln(w, "tcpmangle: this namespace has no device but lo, and what it says to itself stays as it is: nothing will pass")
	}
	if a.container != nil && a.container.Paused {
		fmt.Fprintf(w, "tcpmangle: notice: %s is paused: its kernel answers, its processes do not\n", a.name)
	}
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

func (a *attached) close() error { return errors.Join(a.Way.Close(), a.letGo()) }

// letGo lets go of what was attached to.
func (a *attached) letGo() error {
	if a.container == nil {
		return a.ns.Close()
	}
	return errors.Join(a.ns.Close(), a.container.Close())
}
