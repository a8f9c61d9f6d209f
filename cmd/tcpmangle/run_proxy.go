package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/web"
	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/toxiproxy"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// proxies are services of this host, or reached from it, behind addresses of ours.
// Goroutines may share them.
type proxies struct {
	*inline.Proxy
	ns *netns.NS

	mu    sync.Mutex
	names map[string]netip.AddrPort // the virtual addresses of those that Toxiproxy's API has made
	said  []string
	taken []string // addresses that lead elsewhere without us
}

// openProxies makes the proxies of the files and of the call, unless ctx ends before.
func openProxies(ctx context.Context, all []lab.Proxy, c tunnel.Config) (wayIn, error) {
	ns, err := netns.Here()
	if err != nil {
		return nil, err
	}
	p := &proxies{ns: ns, names: make(map[string]netip.AddrPort)}
	for _, pool := range inline.Pools() {
		p.note(pool, pool.Addr())
	}
	if p.Proxy, err = inline.NewProxy(ns, c); err != nil {
		return nil, &machineError{errors.Join(err, ns.Close())}
	}
	for _, one := range all {
		if err := p.put(ctx, one); err != nil {
			return nil, errors.Join(refused(ctx, one, err), p.close())
		}
	}
	return p, nil
}

// exitSignal is what a shell has for who was interrupted.
const exitSignal = 130

// errNotYet is a start that a signal has ended.
var errNotYet = errors.Join(errors.New("interrupted before it was inline"), &exitError{exitSignal})

// refused says why there is no proxy: the call is wrong, a signal came first, or it is the machine.
func refused(ctx context.Context, one lab.Proxy, err error) error {
	_, wrong := errors.AsType[*inline.ServiceError](err)
	err = fmt.Errorf("%s: %w", nameOf(one), err)
	switch {
	case ctx.Err() != nil:
		return errNotYet
	case wrong:
		return &usageError{err: err}
	}
	return &machineError{err}
}

// put makes a proxy.
func (p *proxies) put(ctx context.Context, one lab.Proxy) error {
	if one.Listen == "" && p.ns.IsLocal(one.Address.Addr()) {
		one.Listen, one.Address = one.Address.String(), netip.AddrPort{}
	}
	s, err := resolve(ctx, one)
	if err != nil {
		return err
	}
	p.note(s.Address.Addr(), s.Address.Addr())
	if s, err = p.Add(s); err != nil {
		return err
	}
	at := s.Address.String()
	if s.Listen.IsValid() {
		at = fmt.Sprintf("%v (%s)", s.Listen, at)
	}
	p.said = append(p.said, at+" to "+one.Upstream)
	return nil
}

// note keeps what an address, or the network around it, is taken from, for somebody else may have it: all of
// its ports lead to the box.
func (p *proxies) note(what fmt.Stringer, a netip.Addr) {
	if dev := p.ns.DeviceTo(a); dev != "" && !strings.HasPrefix(dev, inline.DevicePrefix) {
		p.taken = append(p.taken, fmt.Sprintf("%v, which is reached by %s, leads to the box with all of its ports while we run", what, dev))
	}
}

// warn tells of addresses that were somebody's.
func (p *proxies) warn(w io.Writer) {
	for _, what := range p.taken {
		fmt.Fprintf(w, "tcpmangle: notice: %s\n", what)
	}
}

func (p *proxies) host() *netns.NS { return p.ns }

func (p *proxies) where() string {
	if len(p.said) == 0 {
		return "without a proxy yet"
	}
	return "at " + strings.Join(p.said, ", ")
}

func (p *proxies) admits(*rules.Set) error { return nil }

func (p *proxies) close() error { return errors.Join(p.Proxy.Close(), p.ns.Close()) }

// toxiWays are proxies as Toxiproxy's API makes and unmakes them.
type toxiWays struct{ *proxies }

var _ toxiproxy.Ways = toxiWays{}

// Prepare finds the ends of one.
func (w toxiWays) Prepare(ctx context.Context, listen, upstream string) (func(string) (toxiproxy.Way, error), error) {
	s, err := resolve(ctx, lab.Proxy{Listen: listen, Upstream: upstream})
	if err == nil && listen == "" {
		s.Listen = netip.AddrPortFrom(loopback(s.Upstream.Addr().Is6()), 0)
	}
	return func(name string) (toxiproxy.Way, error) { return w.add(name, s) }, err
}

// add makes one.
func (w toxiWays) add(name string, s inline.Service) (toxiproxy.Way, error) {
	s.Name = name
	s, err := w.proxies.Add(s)
	if err != nil {
		return toxiproxy.Way{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[name] = s.Address
	return toxiproxy.Way{Listen: s.Listen.String(), Server: s.Address}, nil
}

// Remove takes it away.
func (w toxiWays) Remove(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	address, ok := w.names[name]
	if !ok {
		return nil
	}
	delete(w.names, name)
	return w.proxies.Remove(address)
}

// serveToxiproxy answers calls of Toxiproxy's API; it returns the address where.
func (s *service) serveToxiproxy(address string) (at string, err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", &usageError{err: fmt.Errorf("toxiproxy: %w", err)}
	}
	api := toxiproxy.New(toxiproxy.Config{Ways: toxiWays{s.way.(*proxies)}, Box: s.book, Log: s.log})
	calls, giveUp := context.WithCancel(context.Background())
	server := web.New(calls, api, s.log)
	s.serve(func() error { return server.Serve(l) })
	s.closers = append(s.closers, func() error {
		giveUp()
		return errors.Join(server.Close(), api.Close())
	})
	return l.Addr().String(), nil
}
