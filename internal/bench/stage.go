package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// The addresses of a stage. Nobody has strangers and elsewhere: what is sent
// there ends in the server's namespace (198.18.0.0/15 is for benchmarks, RFC 2544).
var (
	clientAddr = netip.MustParseAddr("10.77.1.1")
	serverAddr = netip.MustParseAddr("10.77.2.1")
	nearRouter = netip.MustParseAddr("10.77.1.2") // of the router, to the client
	farRouter  = netip.MustParseAddr("10.77.2.2") // and to the server
	elsewhere  = netip.MustParseAddr("198.19.0.1")
)

// A stage is client and server with a way between them, ready for load.
type stage struct {
	hosts   [2]*netns.NS // client, server
	router  *netns.NS    // of veth only
	devices [2]tunnel.Device
	client  *child
	server  *child
}

// newStage makes the hosts, has link connect them, and starts the load generators.
// After an error there is nothing to close.
func newStage(args []string, link func(*stage) error) (*stage, error) {
	s := new(stage)
	err := s.open(args, link)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) open(args []string, link func(*stage) error) (err error) {
	for i := range s.hosts {
		if s.hosts[i], err = newHost(); err != nil {
			return err
		}
	}
	if err := link(s); err != nil {
		return err
	}
	if s.client, err = startChild(s.hosts[0], args); err != nil {
		return err
	}
	s.server, err = startChild(s.hosts[1], args)
	return err
}

// newHost is a namespace in which nothing is learned of former connections and
// nothing is forwarded.
func newHost() (*netns.NS, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	for key, value := range map[string]string{"tcp_no_metrics_save": "1", "ip_forward": "0"} {
		if err := ns.Sysctl(key, value); err != nil {
			return nil, errors.Join(err, ns.Close())
		}
	}
	return ns, nil
}

func (s *stage) close() error {
	var err error
	for _, c := range []*child{s.client, s.server} {
		if c != nil {
			err = errors.Join(err, c.close())
		}
	}
	for _, d := range s.devices {
		if d != nil {
			err = errors.Join(err, d.Close())
		}
	}
	for _, ns := range []*netns.NS{s.hosts[0], s.hosts[1], s.router} {
		if ns != nil {
			err = errors.Join(err, ns.Close())
		}
	}
	return err
}

// tuns connects the hosts by a TUN device in each; an Engine has to stand between them.
func tuns(cfg tunnel.Config) func(*stage) error {
	return func(s *stage) error {
		for i, addr := range []netip.Addr{clientAddr, serverAddr} {
			if err := s.openTUN(i, addr, cfg); err != nil {
				return err
			}
		}
		return nil
	}
}

func (s *stage) openTUN(i int, addr netip.Addr, cfg tunnel.Config) error {
	ns := s.hosts[i]
	err := ns.Do(func() (err error) {
		s.devices[i], err = tunnel.Open(cfg)
		return err
	})
	if err != nil {
		return err
	}
	dev := s.devices[i]
	return errors.Join(
		tunnel.Up(dev),
		ns.AddAddr(dev.Name(), netip.PrefixFrom(addr, 32)),
		ns.AddRoute(netip.MustParsePrefix("0.0.0.0/0"), dev.Name()),
	)
}

// veths connects the hosts by two veth pairs and a router between them that
// forwards as the kernel does by default.
func veths(s *stage) (err error) {
	if s.router, err = netns.New(); err != nil {
		return err
	}
	return errors.Join(
		s.router.Sysctl("ip_forward", "1"),
		s.wire(s.hosts[0], "near", clientAddr, nearRouter),
		s.wire(s.hosts[1], "far", serverAddr, farRouter),
	)
}

// wire lays a veth pair from a host to the router's device dev, which becomes
// the host's default gateway.
func (s *stage) wire(host *netns.NS, dev string, own, gateway netip.Addr) error {
	err := s.router.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: dev}, PeerName: "eth0", PeerNamespace: netlink.NsFd(host.FD()),
		})
	})
	if err != nil {
		return fmt.Errorf("veth %s: %w", dev, err)
	}
	err = errors.Join(
		s.router.AddAddr(dev, netip.PrefixFrom(gateway, 24)), s.router.LinkUp(dev),
		host.AddAddr("eth0", netip.PrefixFrom(own, 24)), host.LinkUp("eth0"),
	)
	if err != nil {
		return err
	}
	return errors.Join(
		host.Do(func() error { return defaultVia(gateway) }),
		s.router.Do(func() error { return cubicTo(own, dev) }),
	)
}

// cubicTo has sockets of the thread's namespace use cubic towards a host, as ours
// do: those of the proxies. The sysctl may not be set in a namespace.
func cubicTo(host netip.Addr, dev string) error {
	link, err := netlink.LinkByName(dev)
	if err != nil {
		return err
	}
	only := &net.IPNet{IP: host.AsSlice(), Mask: net.CIDRMask(32, 32)}
	route := netlink.Route{LinkIndex: link.Attrs().Index, Dst: only, Scope: netlink.SCOPE_LINK, Congctl: "cubic"}
	if err := netlink.RouteAdd(&route); err != nil {
		return fmt.Errorf("route to %v with cubic: %w", host, err)
	}
	return nil
}

// defaultVia sets the default route of the thread's namespace.
func defaultVia(gateway netip.Addr) error {
	all := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	if err := netlink.RouteAdd(&netlink.Route{Dst: all, Gw: gateway.AsSlice()}); err != nil {
		return fmt.Errorf("route via %v: %w", gateway, err)
	}
	return nil
}
