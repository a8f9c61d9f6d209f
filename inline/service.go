package inline

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// A ServiceError says why a Service cannot be one: it is the call that is wrong, not the machine.
type ServiceError struct{ Err error }

func (e *ServiceError) Error() string { return e.Err.Error() }
func (e *ServiceError) Unwrap() error { return e.Err }

var (
	errIPv6    = errors.New("this host does no IPv6")
	errLocal   = errors.New("an address of this host cannot be a virtual one; listen at it")
	errPool    = errors.New("the addresses of 198.19.0.0/16 and fd79:0:0:19::/64 are for clients, as services see them")
	errCircle  = errors.New("leads to the box itself; an upstream is where a service listens")
	errPort    = errors.New("has no port")
	errGateway = errors.New("is a gateway of this host, which would lose its way to others")
)

// check refuses addresses that cannot be what a service has them for.
func (p *Proxy) check(s Service) error {
	var err error
	switch a := s.Address.Addr(); {
	case s.Upstream.Port() == 0:
		err = fmt.Errorf("upstream %v %w", s.Upstream, errPort)
	case s.Address.Port() == 0:
		err = fmt.Errorf("%v %w", s.Address, errPort)
	case p.ns.IsLocal(a):
		err = fmt.Errorf("%v: %w", s.Address, errLocal)
	case inPool(a):
		err = fmt.Errorf("%v: %w", s.Address, errPool)
	case inPool(s.Upstream.Addr()):
		err = fmt.Errorf("%v: %w", s.Upstream, errPool)
	case p.ns.IsGateway(a):
		err = fmt.Errorf("%v %w", a, errGateway)
	}
	if err != nil {
		return &ServiceError{err}
	}
	before := s
	before.Listen = netip.AddrPort{} // who listens there is asked first
	return errors.Join(p.circular(before), p.shared(s))
}

func inPool(a netip.Addr) bool { return pool4.Contains(a) || pool6.Contains(a) }

// circular refuses a service whose upstream is led to the box, or that leads another's there: its
// connections would come back until their hops are used up.
func (p *Proxy) circular(s Service) error {
	all := []Service{s}
	for _, other := range p.book.pages.Load().services {
		all = append(all, other)
	}
	for _, o := range all {
		for _, ends := range [][2]Service{{s, o}, {o, s}} {
			if up := ends[0].Upstream; p.leads(ends[1], up) {
				return &ServiceError{fmt.Errorf("upstream %v %w", up, errCircle)}
			}
		}
	}
	return nil
}

// leads tells whether connections to an address get to the box by a service.
func (p *Proxy) leads(s Service, a netip.AddrPort) bool {
	return a.Addr() == s.Address.Addr() || overlap(s.Listen, a) && p.ns.IsLocal(a.Addr())
}

// overlap tells whether two addresses to listen at are one, or one of them is every address.
func overlap(a, b netip.AddrPort) bool {
	same := a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified()
	return a.IsValid() && b.IsValid() && same && a.Port() == b.Port() && a.Port() != 0 && version(a.Addr()) == version(b.Addr())
}

// shared refuses to listen where another service does.
func (p *Proxy) shared(s Service) error {
	for _, o := range p.book.pages.Load().services {
		if overlap(s.Listen, o.Listen) {
			return &ServiceError{fmt.Errorf("%v %w to %v: %w", s.Listen, errTaken, o.Upstream, syscall.EADDRINUSE)}
		}
	}
	return nil
}
