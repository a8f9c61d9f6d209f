package inline

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

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

// Pools are the networks whose addresses clients have, as services see them.
func Pools() []netip.Prefix { return []netip.Prefix{pool4, pool6} }

// A Proxy is a Way with virtual services in front of real ones. They come and go
// while it runs. Goroutines may share it.
type Proxy struct {
	Way
	ns   *netns.NS
	book *book

	mu      sync.Mutex
	holders map[netip.AddrPort]*holder // of the addresses that services listen at, by virtual address
	next    [2]netip.Addr              // the last virtual address that was chosen, in IPv4 and IPv6
	done    map[string]bool            // what services share
	closed  bool
}

// NewProxy makes the devices in a namespace, without any service yet. The box has one worker. All that a
// connection has in common on either side is the client's port: several workers would need a steering by that
// alone, and there would be none where no program may be loaded, for the kernel steers by addresses.
func NewProxy(ns *netns.NS, c tunnel.Config) (*Proxy, error) {
	p := &Proxy{Way: Way{setup: newSetup(ns)}, ns: ns, book: newBook(pool4, pool6)}
	p.holders, p.done = make(map[netip.AddrPort]*holder), make(map[string]bool)
	p.next = [2]netip.Addr{own(virtual4), own(virtual6)}
	err := p.setup.begin("proxies")
	if err == nil {
		err = p.begin(c)
	}
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", errors.Join(err, p.Close()))
	}
	return p, nil
}

func (p *Proxy) begin(c tunnel.Config) error {
	c = sized(c, p.ns.DefaultMTU())
	c.Queues = 1
	v6 := hasIPv6(p.ns)
	for i, side := range []struct {
		name string
		nets [2]netip.Prefix
	}{{virtualName, [2]netip.Prefix{virtual4, virtual6}}, {upstreamName, [2]netip.Prefix{pool4, pool6}}} {
		c.Name = side.name
		if err := p.open(p.ns, i, c); err != nil {
			return err
		}
		if err := tunnel.Up(p.devices[i]); err != nil {
			return err
		}
		if v6 {
			if err := enableIPv6(p.ns, side.name); err != nil {
				return err
			}
		}
		for _, n := range side.nets {
			if n.Addr().Is6() && !v6 {
				continue
			}
			if err := p.ns.AddAddr(side.name, single(own(n))); err != nil {
				return err
			}
		}
		// What upstreams bind to 127.0.0.1 may be reached from our device, and no other; and
		// who connects to 127.0.0.1 may be led to it.
		if err := p.setup.ownSysctl(side.name, "route_localnet=1"); err != nil {
			return err
		}
		if v6 {
			if err := p.ns.AddLocalRoute(netip.IPv6Loopback(), side.name); err != nil {
				return err
			}
		}
	}
	p.devices[1] = readdress(p.devices[1], p.book)
	if err := p.setup.admit(netns.Delivered, virtualName, upstreamName); err != nil {
		return err
	}
	return p.leadBack(v6)
}

// leadBack leads what upstreams send to the addresses of the pools to the box.
func (p *Proxy) leadBack(v6 bool) error {
	if err := p.ns.Claim(pool4, upstreamName); err != nil || !v6 {
		return err
	}
	return p.ns.Claim(pool6, upstreamName)
}

// Add puts a service up, and returns it with the addresses that it has got. They lead
// to the box as long as it is there. What is wrong with the service itself is a *ServiceError.
func (p *Proxy) Add(s Service) (Service, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !s.Address.IsValid() {
		s.Address = netip.AddrPortFrom(p.choose(s.Upstream.Addr().Is6()), s.Upstream.Port())
	}
	if p.closed {
		return s, os.ErrClosed
	}
	if s.Address.Addr().Is6() && !hasIPv6(p.ns) {
		return s, fmt.Errorf("%v: %w", s.Address, errIPv6)
	}
	if err := p.check(s); err != nil {
		return s, err
	}
	if err := p.book.add(s); err != nil {
		return s, &ServiceError{err}
	}
	err := p.lead(&s)
	if err != nil {
		err = errors.Join(err, p.remove(s.Address))
	}
	return s, err
}

// Undo is the Way's, and lets go of the addresses that services listen at. No service comes
// after it.
func (p *Proxy) Undo() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for _, holder := range p.holders {
		errs = append(errs, holder.Close())
	}
	clear(p.holders)
	return errors.Join(append(errs, p.Way.Undo())...)
}

// Close is Undo, and closes the devices.
func (p *Proxy) Close() error { return errors.Join(p.Undo(), p.Way.Close()) }

// choose is a virtual address that no service has.
func (p *Proxy) choose(v6 bool) netip.Addr {
	i, net := 0, virtual4
	if v6 {
		i, net = 1, virtual6
	}
	for {
		if p.next[i] = p.next[i].Next(); !net.Contains(p.next[i]) {
			p.next[i] = own(net).Next()
		}
		if !p.book.has(p.next[i]) {
			return p.next[i]
		}
	}
}

// lead makes packets find their way to a service and from there to its upstream.
func (p *Proxy) lead(s *Service) error {
	if !p.book.shared(s.Address) {
		if err := p.ns.Claim(single(s.Address.Addr()), virtualName); err != nil {
			return err
		}
	}
	if err := p.leadOn(s.Upstream.Addr()); err != nil {
		return err
	}
	if s.Listen.IsValid() {
		return p.listen(s)
	}
	return nil
}

// leadOn lets packets get from the box to an upstream, and answers back.
func (p *Proxy) leadOn(upstream netip.Addr) error {
	switch {
	case upstream == netip.IPv6Loopback():
		return p.once("::1", p.leadToLoopback6)
	case p.ns.IsLocal(upstream):
		return nil
	}
	pool := [2]netip.Prefix{pool4, pool6}[version(upstream)]
	if err := p.forward(upstream.Is6(), upstreamName); err != nil {
		return err
	}
	return p.once("away from "+pool.String(), func() error {
		return p.setup.translate("away", netns.PacketRule{Hook: netns.Leaving, Src: pool, NotTo: upstreamName, Do: netns.Masquerade})
	})
}

// forward lets a device of ours take part in what the host forwards.
func (p *Proxy) forward(v6 bool, dev string) error {
	if err := p.setup.forwarding(v6); err != nil {
		return err
	}
	return p.once("forward by "+dev, func() error { return p.setup.admit(netns.Forwarded, dev) })
}

// once does what all services share.
func (p *Proxy) once(what string, do func() error) error {
	if p.done[what] {
		return nil
	}
	err := do()
	p.done[what] = err == nil
	return err
}

// version is where what belongs to the IP version of an address stands in a pair.
func version(a netip.Addr) int {
	if a.Is6() {
		return 1
	}
	return 0
}

// Remove takes the service at a virtual address away. Its connections lose their way.
func (p *Proxy) Remove(address netip.AddrPort) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil // it has gone with the others
	}
	return p.remove(address)
}

func (p *Proxy) remove(address netip.AddrPort) error {
	var errs []error
	if holder := p.holders[address]; holder != nil {
		errs = append(errs, holder.Close()) // first, or a connection would come to it
		if p.setup.nat != nil {
			errs = append(errs, p.setup.nat.Remove(address.String()))
		}
		delete(p.holders, address)
	}
	p.book.remove(address)
	if !p.book.shared(address) {
		errs = append(errs, p.ns.Unclaim(single(address.Addr()), virtualName))
	}
	return errors.Join(errs...)
}

// single is the prefix that holds one address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
