package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// addresses of the hosts, by family and side.
var addresses = map[int][2]netip.Addr{
	4: {netip.MustParseAddr("10.77.1.1"), netip.MustParseAddr("10.77.2.1")},
	6: {netip.MustParseAddr("fd77:1::1"), netip.MustParseAddr("fd77:2::1")},
}

// isOf tells whether an end is one of a host's, in either family: whichever a run is over, programs
// may use both.
func isOf(side int, end netip.AddrPort) bool {
	return end.Addr() == addresses[4][side] || end.Addr() == addresses[6][side]
}

// deviceName is the same in both namespaces.
const deviceName = "mgl0"

// A host is a network namespace with one device, behind which the box is.
type host struct {
	side int
	ns   *netns.NS
	dev  tunnel.Device
	addr [2]netip.Addr // of both sides in the run's family
}

// openHost makes the namespace and what is in it. After an error there is nothing to close.
func openHost(side int, f *File, ip int, o Options) (*host, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	h := &host{side: side, ns: ns, addr: addresses[ip]}
	if err := h.furnish(f, o); err != nil {
		h.close()
		return nil, fmt.Errorf("%s: %w", sideNames[side], err)
	}
	return h, nil
}

func (h *host) furnish(f *File, o Options) error {
	if err := h.sysctls(quiet); err != nil {
		return err
	}
	err := h.ns.Do(func() (err error) {
		h.dev, err = tunnel.Open(tunnel.Config{Name: deviceName, MTU: f.MTU, Offload: o.Offload, Queues: o.workers()})
		return err
	})
	if err != nil {
		return err
	}
	if err := tunnel.Up(h.dev); err != nil {
		return err
	}
	if err := h.addresses(f.MTU); err != nil {
		return err
	}
	if spec := f.hosts[h.side]; spec != nil {
		return h.sysctls(spec.sysctls)
	}
	return nil
}

// quiet lets a host say nothing but what its programs want: no router solicitations,
// no link-local address, and none learned of former connections. IPv6 keys are
// missing where the kernel has no IPv6.
var quiet = []sysctl{
	{"tcp_no_metrics_save", "1"},
	{"net.ipv6.conf.default.addr_gen_mode", "1"},
	{"net.ipv6.conf.default.router_solicitations", "0"},
	{"net.ipv6.conf.default.accept_dad", "0"},
}

func (h *host) sysctls(all []sysctl) error {
	for _, s := range all {
		err := h.ns.Sysctl(s.key, s.value)
		if err != nil && !(optional(s) && errors.Is(err, netns.ErrUnknownSysctl)) {
			return err
		}
	}
	return nil
}

func optional(s sysctl) bool {
	return slices.Contains(quiet[1:], s)
}

// addresses gives the host its own, and the way to the other's. They stand on the
// loopback device: on our own, IPv6 would announce each of them to the other host.
func (h *host) addresses(mtu int) error {
	for _, family := range []int{4, 6} {
		if family == 6 && mtu < leastMTU6 {
			return nil // the device has no IPv6
		}
		own, other := addresses[family][h.side], addresses[family][1-h.side]
		if err := h.ns.AddAddr("lo", netip.PrefixFrom(own, own.BitLen())); err != nil {
			if family == 6 && h.addr[h.side].Is4() {
				return nil // without IPv6 in the kernel IPv4 still works
			}
			return err
		}
		if err := h.ns.AddRoute(netip.PrefixFrom(other, other.BitLen()), deviceName); err != nil {
			return err
		}
	}
	return nil
}

// stack is what the box has to know of the host's kernel.
func (h *hostSpec) stack() (s conntrack.Stack) {
	if h == nil {
		return s
	}
	for _, c := range h.sysctls {
		switch c.key {
		case "tcp_rfc1337", "net.ipv4.tcp_rfc1337":
			s.RFC1337 = c.value != "0"
		case "tcp_max_tw_buckets", "net.ipv4.tcp_max_tw_buckets":
			s.NoTimeWait = c.value == "0"
		}
	}
	return s
}

func (h *host) close() error {
	var err error
	if h.dev != nil {
		err = h.dev.Close()
	}
	return errors.Join(err, h.ns.Close())
}

// wipeUntil takes sockets away until nobody is there to open more.
func (h *host) wipeUntil(gone <-chan struct{}) {
	for {
		h.wipe()
		select {
		case <-gone:
			return
		case <-time.After(pollEvery):
		}
	}
}

// wipe takes away every socket that is left on the host, orphans and TIME_WAIT too.
// It returns how many there were.
func (h *host) wipe() (n int) {
	socks, err := h.ns.Sockets()
	if err != nil {
		return 0
	}
	for _, s := range socks {
		_ = h.ns.Destroy(s) // it may have gone by itself
	}
	return len(socks)
}
