package inline

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

func begun(t *testing.T, ns *netns.NS) *setup {
	t.Helper()
	s := newSetup(ns)
	must(t, s.begin("test"))
	return s
}

// wants compares a sysctl.
func wants(t *testing.T, ns *netns.NS, key, want string) {
	t.Helper()
	got, err := ns.SysctlGet(key)
	must(t, err)
	if got != want {
		t.Errorf("%s = %s, want %s", key, got, want)
	}
}

// Several ways in need the same switch: the last one to go puts it back.
func TestSetupsShareASwitch(t *testing.T) {
	host, other := newHost(t), newHost(t)
	nstest.Wire(t, 0, host, other)
	must(t, host.Sysctl("net.ipv4.conf.eth0.forwarding", "1"))
	must(t, host.Sysctl("net.ipv6.conf.eth0.forwarding", "1"))
	before := nstest.Face(t, host)
	one, two, elsewhere := begun(t, host), begun(t, host), begun(t, other)
	for _, s := range []*setup{one, two, elsewhere} {
		must(t, s.forwarding(true))
	}
	must(t, elsewhere.undo())
	must(t, one.undo())
	wants(t, host, forward4, "1")
	wants(t, host, forward6, "1")
	wants(t, host, "net.ipv6.conf.eth0.accept_ra", "2")
	must(t, two.undo())
	nstest.SameFace(t, host, before)
}

// What was switched on before, of a single device too, is so afterwards.
func TestForwardingIsPutBack(t *testing.T) {
	host, other := newHost(t), newHost(t)
	nstest.Wire(t, 0, host, other)
	must(t, host.Sysctl("net.ipv4.conf.eth0.forwarding", "1"))
	must(t, host.Sysctl("net.ipv6.conf.eth0.forwarding", "1"))
	before := nstest.Face(t, host)
	s := begun(t, host)
	must(t, s.forwarding(true))
	wants(t, host, "net.ipv6.conf.eth0.accept_ra", "2")
	must(t, s.undo())
	nstest.SameFace(t, host, before)

	must(t, host.Sysctl("net.ipv4.ip_forward", "1"))
	before = nstest.Face(t, host)
	s = begun(t, host)
	must(t, s.forwarding(false))
	nstest.SameFace(t, host, before)
	must(t, s.undo())
	nstest.SameFace(t, host, before)
}

// What a process that is dead has left behind is undone by the next one, but for what a
// living one needs.
func TestSweep(t *testing.T) {
	host := newHost(t)
	before := nstest.Face(t, host)
	dead, living := begun(t, host), begun(t, host)
	must(t, dead.forwarding(false))
	must(t, dead.sysctl("net.ipv4.tcp_early_demux", "0"))
	must(t, dead.addRule(netns.Rule{Priority: 77, Table: netns.TableMain}))
	last := netns.Rule{Priority: 32767, Table: netns.TableDefault}
	must(t, dead.moveRule(last))
	must(t, host.DelRule(last)) // as if it had been killed in between
	must(t, living.forwarding(false))
	must(t, dead.nat.Close()) // as the kernel does
	dead.Started = "never"
	must(t, dead.save())
	if n := Leftovers(); n != 1 {
		t.Errorf("%d leftovers, want 1", n)
	}
	must(t, begun(t, host).undo())
	if n := Leftovers(); n != 0 {
		t.Errorf("%d leftovers, want none", n)
	}
	wants(t, host, forward4, "1")
	wants(t, host, "net.ipv4.tcp_early_demux", "1")
	must(t, living.undo())
	nstest.SameFace(t, host, before)
}

// SweepAll finds namespaces that processes are in, and forgets those that are gone.
func TestSweepAll(t *testing.T) {
	gone := newHost(t)
	s := begun(t, gone)
	s.Started = "never"
	must(t, s.save())
	must(t, gone.Close())
	here, err := netns.Here()
	must(t, err)
	defer here.Close()
	ours := begun(t, here)
	ours.Started = "never"
	must(t, ours.save())
	held := newHost(t) // nobody is in it, and we have it open
	kept := begun(t, held)
	must(t, kept.sysctl("net.ipv4.tcp_early_demux", "0"))
	kept.Started = "never"
	must(t, kept.save())
	must(t, os.WriteFile(filepath.Join(stateDir, "setup-1.json"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(stateDir, "setup-2.json~"), nil, 0o600))
	if n, err := SweepAll(); n != 3 || err != nil {
		t.Errorf("swept %d, %v; want 3", n, err)
	}
	wants(t, held, "net.ipv4.tcp_early_demux", "1")
	if files, err := os.ReadDir(stateDir); err != nil || len(files) != 1 || files[0].Name() != "lock" {
		t.Errorf("the folder holds %v, %v", files, err)
	}
}

// Several that begin at once keep what was before all of them.
func TestSetupsBeginAtOnce(t *testing.T) {
	host, other := newHost(t), newHost(t)
	nstest.Wire(t, 0, host, other)
	before := nstest.Face(t, host)
	all := []*setup{begun(t, host), begun(t, host), begun(t, host), begun(t, host)}
	for _, do := range []func(*setup) error{
		func(s *setup) error { return s.forwarding(true) },
		(*setup).undo,
	} {
		done := make(chan error)
		for _, s := range all {
			go func() { done <- do(s) }()
		}
		for range all {
			must(t, <-done)
		}
	}
	nstest.SameFace(t, host, before)
}

// A namespace that has the number of one that is gone stays as it is.
func TestSweepKnowsNamespaces(t *testing.T) {
	host := newHost(t)
	s := begun(t, host)
	if s.Cookie == 0 {
		t.Skip("this kernel has no cookies of namespaces")
	}
	must(t, s.sysctl("net.ipv4.tcp_early_demux", "0"))
	s.Started = "never"
	s.Cookie++
	must(t, s.save())
	must(t, begun(t, host).undo())
	wants(t, host, "net.ipv4.tcp_early_demux", "0")
	if n := Leftovers(); n != 0 {
		t.Errorf("%d leftovers, want none", n)
	}
}
