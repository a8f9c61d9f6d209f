package inline

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// The devices of proxies. Clients reach the virtual addresses through the one, the box
// reaches the upstreams through the other:
//
//	client ──► manglev ──► box ──► mangleu ──► upstream
//	  sees  client → virtual address     sees  pool address → upstream
const (
	virtualName  = "manglev"
	upstreamName = "mangleu"
)

// What proxies use of the networks that are set aside for tests of devices (RFC 2544)
// and for local use (RFC 4193).
var (
	virtual4 = netip.MustParsePrefix("198.18.0.0/16")
	virtual6 = netip.MustParsePrefix("fd79:0:0:18::/64")
	pool4    = netip.MustParsePrefix("198.19.0.0/16")
	pool6    = netip.MustParsePrefix("fd79:0:0:19::/64")
)

var errLoopback6 = errors.New("Linux takes nothing for ::1 from a device; use 127.0.0.1, or another address of this host")

// A Proxy is a Way with virtual services in front of real ones. They come and go
// while it runs.
type Proxy struct {
	Way
	ns   *netns.NS
	book *book
}

// NewProxy makes the devices in a namespace, without any service yet. The box has one
// worker: a connection has other addresses on either side, so that no steering would
// bring its directions together.
func NewProxy(ns *netns.NS, c tunnel.Config) (*Proxy, error) {
	p := &Proxy{Way: Way{setup: newSetup(ns)}, ns: ns, book: newBook(pool4, pool6)}
	err := p.setup.begin()
	if err == nil {
		err = p.begin(c)
	}
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", errors.Join(err, p.Close()))
	}
	return p, nil
}

func (p *Proxy) begin(c tunnel.Config) error {
	c.Queues = 1
	for i, name := range []string{virtualName, upstreamName} {
		c.Name = name
		if err := p.open(p.ns, i, c); err != nil {
			return err
		}
		if err := tunnel.Up(p.devices[i]); err != nil {
			return err
		}
	}
	v6 := hasIPv6(p.ns)
	for i, nets := range [2][]netip.Prefix{{virtual4, virtual6}, {pool4, pool6}} {
		for _, n := range nets {
			if n.Addr().Is6() && !v6 {
				continue
			}
			if err := p.ns.AddAddr(p.devices[i].Name(), single(own(n))); err != nil {
				return err
			}
			if i == 1 {
				if err := p.ns.AddRoute(n, upstreamName); err != nil {
					return err
				}
			}
		}
	}
	p.devices[1] = readdress(p.devices[1], p.book)
	// What the upstream binds to 127.0.0.1 may be reached from our device, and no other.
	return p.setup.ownSysctl(upstreamName, "route_localnet=1")
}

// Add puts a service up. Its virtual address is routed to the box as long as it is there.
func (p *Proxy) Add(s Service) error {
	if s.Upstream.Addr() == netip.IPv6Loopback() {
		return fmt.Errorf("upstream %v: %w", s.Upstream, errLoopback6)
	}
	if err := p.book.add(s); err != nil {
		return err
	}
	err := p.ns.AddRoute(single(s.Address.Addr()), virtualName)
	if err != nil && !p.book.shared(s.Address) {
		p.book.remove(s.Address)
		return err
	}
	return nil
}

// Remove takes the service at a virtual address away. Its connections lose their way.
func (p *Proxy) Remove(address netip.AddrPort) error {
	p.book.remove(address)
	if p.book.shared(address) {
		return nil
	}
	return p.ns.DelRoute(single(address.Addr()), virtualName)
}

// single is the prefix that holds one address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
