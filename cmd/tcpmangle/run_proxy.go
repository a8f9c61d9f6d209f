package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/netns"
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
}

// openProxies makes the proxies of the files and of the call.
func openProxies(all []lab.Proxy, c tunnel.Config) (wayIn, error) {
	ns, err := netns.Here()
	if err != nil {
		return nil, err
	}
	p := &proxies{ns: ns, names: make(map[string]netip.AddrPort)}
	if p.Proxy, err = inline.NewProxy(ns, c); err != nil {
		return nil, &machineError{errors.Join(err, ns.Close())}
	}
	for _, one := range all {
		if err := p.put(one); err != nil {
			return nil, &machineError{errors.Join(fmt.Errorf("proxy %s: %w", cmp.Or(one.Name, one.Upstream), err), p.close())}
		}
	}
	return p, nil
}

var errProxyForm = errors.New("it is not like 198.18.0.2:6379=127.0.0.1:6379")

// cutProxy reads ADDRESS=UPSTREAM. Only the host knows whether an address is one of its own.
func cutProxy(text string) (one lab.Proxy, err error) {
	address, upstream, ok := strings.Cut(text, "=")
	host, _, herr := net.SplitHostPort(address)
	if _, _, uerr := net.SplitHostPort(upstream); !ok || herr != nil || uerr != nil {
		return one, errProxyForm
	}
	one.Upstream = upstream
	if one.Address, err = netip.ParseAddrPort(address); err == nil && !one.Address.Addr().IsUnspecified() {
		return one, nil
	}
	if err != nil && host != "" && host != "localhost" {
		return one, errProxyForm
	}
	one.Address, one.Listen = netip.AddrPort{}, address
	return one, nil
}

// put makes a proxy.
func (p *proxies) put(one lab.Proxy) error {
	if one.Listen == "" && p.ns.IsLocal(one.Address.Addr()) {
		one.Listen, one.Address = one.Address.String(), netip.AddrPort{}
	}
	s, err := resolve(one)
	if err != nil {
		return err
	}
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

// resolve finds the addresses of names. The upstream decides on the IP version.
func resolve(one lab.Proxy) (s inline.Service, err error) {
	s.Name, s.Address = one.Name, one.Address
	version := ""
	switch {
	case one.Address.Addr().Is4():
		version = "4"
	case one.Address.Addr().Is6():
		version = "6"
	}
	if s.Upstream, err = addressOf(one.Upstream, version); err != nil {
		return s, err
	}
	s.Upstream = netip.AddrPortFrom(here(s.Upstream.Addr()), s.Upstream.Port())
	if version = "4"; s.Upstream.Addr().Is6() {
		version = "6"
	}
	if one.Listen != "" {
		s.Listen, err = addressOf(one.Listen, version)
	}
	return s, err
}

// here is where who connects to an address gets to: no address, as in ":6379", is this host's
// loopback.
func here(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return loopback(a.Is6())
	}
	return a
}

// loopback is this host's address for itself.
func loopback(v6 bool) netip.Addr {
	if v6 {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// addressOf finds the address of HOST:PORT in an IP version, any if it is empty.
func addressOf(end, version string) (netip.AddrPort, error) {
	a, err := net.ResolveTCPAddr("tcp"+version, end)
	if err != nil {
		return netip.AddrPort{}, err
	}
	p := a.AddrPort()
	addr := p.Addr().Unmap()
	switch {
	case addr.IsValid() && !(addr == netip.IPv6Unspecified() && version == "4"):
	case version == "6":
		addr = netip.IPv6Unspecified()
	default:
		addr = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(addr, p.Port()), nil
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

// Add makes one.
func (w toxiWays) Add(name, listen, upstream string) (toxiproxy.Way, error) {
	s, err := resolve(lab.Proxy{Name: name, Listen: listen, Upstream: upstream})
	if err != nil {
		return toxiproxy.Way{}, err
	}
	if listen == "" {
		s.Listen = netip.AddrPortFrom(loopback(s.Upstream.Addr().Is6()), 0)
	}
	if s, err = w.proxies.Add(s); err != nil {
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
	server := &http.Server{Handler: api, ReadHeaderTimeout: 10 * time.Second}
	s.serve(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return errors.Join(server.Shutdown(ctx), api.Close())
	})
	return l.Addr().String(), nil
}
