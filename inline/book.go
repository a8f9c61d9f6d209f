package inline

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
)

// A Service is a virtual address in front of a real one. TCP stays end to end
// between the client and the upstream; only addresses change on the way.
type Service struct {
	Name     string
	Address  netip.AddrPort // where clients connect to, on our device; invalid: one is chosen
	Upstream netip.AddrPort // of the same family
	Listen   netip.AddrPort // an address of this host that leads to the service, too; invalid: none
}

// A book translates between what the box sees, clients and virtual addresses, and
// what the upstream sees: for each client of each service an address from a pool,
// so that its answers come back to our device. Ports stay.
//
// Lookups take no lock; a new client copies the maps.
type book struct {
	mu    sync.Mutex // of writers
	pools [2]netip.Prefix
	next  [2]netip.Addr
	pages atomic.Pointer[pages]
}

// pages is one state of the book. It does not change.
type pages struct {
	services map[netip.AddrPort]Service
	out      map[visitor]netip.Addr
	back     map[netip.Addr]visitor
}

// A visitor is a client of a service.
type visitor struct {
	client  netip.Addr
	service netip.AddrPort // its virtual address
}

var (
	errTaken  = errors.New("leads already")
	errFamily = errors.New("they are of different IP versions")
)

func newBook(pool4, pool6 netip.Prefix) *book {
	b := &book{pools: [2]netip.Prefix{pool4.Masked(), pool6.Masked()}}
	for i, p := range b.pools {
		b.next[i] = own(p)
	}
	b.pages.Store(&pages{})
	return b
}

// add makes a service known.
func (b *book) add(s Service) error {
	for _, a := range []netip.AddrPort{s.Upstream, s.Listen} {
		if a.IsValid() && s.Address.Addr().Is4() != a.Addr().Is4() {
			return fmt.Errorf("%v and %v: %w", s.Address, a, errFamily)
		}
	}
	return b.change(func(p *pages) error {
		if old, ok := p.services[s.Address]; ok {
			return fmt.Errorf("%v %w to %v", s.Address, errTaken, old.Upstream)
		}
		p.services[s.Address] = s
		return nil
	})
}

// note keeps where a service listens, as soon as that is known.
func (b *book) note(s Service) {
	b.change(func(p *pages) error {
		p.services[s.Address] = s
		return nil
	})
}

// remove forgets a service and its clients.
func (b *book) remove(address netip.AddrPort) {
	b.change(func(p *pages) error {
		delete(p.services, address)
		for v, a := range p.out {
			if v.service == address {
				p.forget(v, a)
			}
		}
		return nil
	})
}

// has tells whether a service has an address, with any port.
func (b *book) has(a netip.Addr) bool { return b.shared(netip.AddrPortFrom(a, 0)) }

// shared tells whether another service has the same address, with another port.
func (b *book) shared(address netip.AddrPort) bool {
	for a := range b.pages.Load().services {
		if a.Addr() == address.Addr() && a != address {
			return true
		}
	}
	return false
}

// change puts an edited copy of the pages in the place of the current ones.
func (b *book) change(edit func(*pages) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pages.Load().clone()
	if err := edit(p); err != nil {
		return err
	}
	b.pages.Store(p)
	return nil
}

func (p *pages) clone() *pages {
	return &pages{services: copied(p.services), out: copied(p.out), back: copied(p.back)}
}

func copied[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m)+1)
	maps.Copy(c, m)
	return c
}

func (p *pages) forget(v visitor, a netip.Addr) {
	delete(p.out, v)
	delete(p.back, a)
}

// toUpstream translates the ends of a segment from a client; ok is false if it is to
// no service of ours.
func (b *book) toUpstream(src, dst netip.AddrPort) (from, to netip.AddrPort, ok bool) {
	p := b.pages.Load()
	s, ok := p.services[dst]
	if !ok {
		return from, to, false
	}
	v := visitor{src.Addr(), dst}
	a, known := p.out[v]
	if !known {
		a = b.receive(v)
	}
	return netip.AddrPortFrom(a, src.Port()), s.Upstream, true
}

// receive gives a new visitor an address of the pool. When the pool has been used
// up, the addresses that were given first are given again.
func (b *book) receive(v visitor) (a netip.Addr) {
	b.change(func(p *pages) error {
		if known, ok := p.out[v]; ok {
			a = known
			return nil
		}
		a = b.take(v.client.Is6())
		if old, ok := p.back[a]; ok {
			p.forget(old, a)
		}
		p.out[v], p.back[a] = a, v
		return nil
	})
	return a
}

// own is the address of our device in one of its networks.
func own(net netip.Prefix) netip.Addr { return net.Addr().Next() }

// take is the next address of a pool.
func (b *book) take(v6 bool) netip.Addr {
	i := 0
	if v6 {
		i = 1
	}
	a := b.next[i].Next()
	if !b.pools[i].Contains(a) {
		a = own(b.pools[i]).Next()
	}
	b.next[i] = a
	return a
}

// toClient translates the ends of a segment from an upstream.
func (b *book) toClient(src, dst netip.AddrPort) (from, to netip.AddrPort, ok bool) {
	p := b.pages.Load()
	v, ok := p.back[dst.Addr()]
	if !ok || p.services[v.service].Upstream != src {
		return from, to, false
	}
	return v.service, netip.AddrPortFrom(v.client, dst.Port()), true
}
