package inline

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// Every way in works in IPv6 where devices do not have it by default, and where sources are
// filtered strictly.
func TestWaysOnStrictHosts(t *testing.T) {
	host, elsewhere := newHost(t), newHost(t)
	_, of6 := nstest.Wire(t, 0, host, elsewhere)
	nstest.Gateway(t, host, "eth0")
	must(t, host.Sysctl("net.ipv6.conf.default.disable_ipv6", "1"))
	for _, dev := range []string{"all", "default", "eth0"} {
		must(t, host.Sysctl("net.ipv4.conf."+dev+".rp_filter", "1"))
	}
	before := nstest.Face(t, host)
	t.Run("through the box", func(t *testing.T) {
		away := nstest.Listen(t, elsewhere, netip.AddrPortFrom(of6, 80).String())
		local := nstest.Listen(t, host, "127.0.0.1:80")
		c := inCell(t, host, &Names{}, "")
		exchange(t, dial(t, c.NS(), netip.AddrPortFrom(of6, 80)), accept(t, away), "from a cell")
		exchange(t, dial(t, c.NS(), netip.AddrPortFrom(c.Gateway(false), 80)), accept(t, local), "from a cell to the host")

		p := proxied(t, host)
		s6 := put(t, p, Service{Upstream: netip.AddrPortFrom(of6, 80)})
		s4 := put(t, p, Service{Upstream: netip.AddrPortFrom(loopback4, 80), Listen: netip.AddrPortFrom(loopback4, 0)})
		exchange(t, dial(t, host, s6.Address), accept(t, away), "from a proxy")
		exchange(t, dial(t, host, s4.Address), accept(t, local), "from a proxy to the host")
		exchange(t, dial(t, host, s4.Listen), accept(t, local), "from its loopback")

		w, err := Attach(host, service, tunnel.Config{})
		must(t, err)
		t.Cleanup(func() { must(t, w.Close()) })
		run(t, w, "")
		l := nstest.Listen(t, host, "[fd79:0::1]:8080")
		exchange(t, dial(t, elsewhere, netip.MustParseAddrPort("[fd79:0::1]:8080")), accept(t, l), "to an attachment")
	})
	nstest.SameFace(t, host, before)
}

// Devices have the packets of their host: no connection announces more than its way can take, and
// none that is open has to make its segments smaller.
func TestSizes(t *testing.T) {
	for _, row := range []struct{ eth, want int }{{9000, 9000}, {1400, 1400}, {1200, 1280}} {
		host, elsewhere := newHost(t), newHost(t)
		of4, _ := nstest.Wire(t, 0, host, elsewhere)
		must(t, host.AddRoute(netip.MustParsePrefix("0.0.0.0/0"), "eth0"))
		must(t, errors.Join(host.SetMTU("eth0", row.eth), elsewhere.SetMTU("eth0", row.eth)))
		c, err := NewCell(host, &Names{}, tunnel.Config{})
		must(t, err)
		p, err := NewProxy(host, tunnel.Config{})
		must(t, err)
		w, err := Attach(host, service, tunnel.Config{})
		must(t, err)
		t.Cleanup(func() { must(t, w.Close()); must(t, p.Close()); must(t, c.Close()) })
		for _, way := range []*Way{&c.Way, &p.Way, w} {
			for _, d := range way.Devices() {
				if d.MTU() != row.want {
					t.Errorf("on a host with %d: %s has %d, want %d", row.eth, d.Name(), d.MTU(), row.want)
				}
			}
			run(t, way, "")
		}
		l := nstest.Listen(t, elsewhere, netip.AddrPortFrom(of4, 80).String())
		near := dial(t, c.NS(), netip.AddrPortFrom(of4, 80))
		far := accept(t, l)
		transfer(t, near, far)
		transfer(t, far, near)
	}
}

// Hosts without IPv6 have ways in of IPv4.
func TestWaysWithoutIPv6(t *testing.T) {
	host, elsewhere := newHost(t), newHost(t)
	nstest.Wire(t, 0, elsewhere, host)
	nstest.Gateway(t, host, "eth0")
	must(t, host.Sysctl("net.ipv6.conf.all.disable_ipv6", "1"))
	before := nstest.Face(t, host)
	t.Run("through the box", func(t *testing.T) {
		l := nstest.Listen(t, host, "127.0.0.1:80")
		names := &Names{Hosts: "127.0.0.1 localhost\n"}
		c := inCell(t, host, names, "")
		if strings.Contains(names.Hosts, HostName6) {
			t.Errorf("hosts %q", names.Hosts)
		}
		exchange(t, dial(t, c.NS(), netip.AddrPortFrom(c.Gateway(false), 80)), accept(t, l), "from a cell")
		p := proxied(t, host)
		s := put(t, p, Service{Upstream: netip.AddrPortFrom(loopback4, 80)})
		exchange(t, dial(t, host, s.Address), accept(t, l), "from a proxy")
		if _, err := p.Add(onLoopback6); !errors.Is(err, errIPv6) {
			t.Errorf("a service in IPv6: %v", err)
		}
		w, err := Attach(host, service, tunnel.Config{})
		must(t, err)
		t.Cleanup(func() { must(t, w.Close()) })
		run(t, w, "")
		l = nstest.Listen(t, host, "10.79.0.2:8080")
		exchange(t, dial(t, elsewhere, netip.MustParseAddrPort("10.79.0.2:8080")), accept(t, l), "to an attachment")
	})
	nstest.SameFace(t, host, before)
}

// A device that has our name is somebody else's, as far as can be seen.
func TestNameIsTaken(t *testing.T) {
	host := newHost(t)
	must(t, host.Do(func() error { return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: outerName}}) }))
	w, err := Attach(host, service, tunnel.Config{})
	if want := "attach: a device mangle0 is there already: another instance's, or somebody else's"; err == nil || err.Error() != want {
		t.Errorf("%v, %v, want %s", w, err, want)
	}
}

// What cannot be undone for want of descriptors is when the devices have given theirs back.
func TestUndoneByTheirDescriptors(t *testing.T) {
	host := newHost(t)
	before := nstest.Face(t, host)
	w, err := Attach(host, service, tunnel.Config{})
	must(t, err)
	folder := stateDir
	stateDir = "/proc/nowhere"
	w.devices[0] = lastStraw{w.devices[0], func() { stateDir = folder }}
	must(t, w.Close())
	nstest.SameFace(t, host, before)
}

// A lastStraw is a Device whose end changes something.
type lastStraw struct {
	tunnel.Device
	change func()
}

func (d lastStraw) Close() error {
	d.change()
	return d.Device.Close()
}
