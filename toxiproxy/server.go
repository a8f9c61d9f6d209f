package toxiproxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"github.com/tcpmangle/tcpmangle/rules"
)

// A Way is a way in that was made for a proxy.
type Way struct {
	Listen string         // where clients connect to
	Server netip.AddrPort // the server's end of these connections, as the box sees it
}

// Ways makes the ways in. A Server adds and removes one at a time.
type Ways interface {
	// Prepare looks up the names in both ends of a proxy, HOST:PORT, for as long as ctx lets it. What it returns
	// makes connections to listen go through the box to upstream. Port 0 of listen, or an empty
	// listen, is an address of the implementation's choice. Goroutines may call it side by side.
	Prepare(ctx context.Context, listen, upstream string) (add func(name string) (Way, error), err error)
	// Remove undoes that.
	Remove(name string) error
}

// A Box is where rules are put in force; *control.Book is one.
type Box interface {
	// Put puts the rules of a layer in the place of those that it had.
	Put(layer string, set *rules.Set) error
	// Cut resets both ends of all connections to a server.
	Cut(server netip.AddrPort) error
}

// Layer is the name under which the rules of toxics are listed.
const Layer = "toxiproxy"

// A Config sets up a Server.
type Config struct {
	Ways Ways
	Box  Box
	Log  *zap.Logger // nil means none
}

// A Server holds proxies and their toxics. It is an http.Handler that goroutines may share.
type Server struct {
	ways Ways
	box  Box
	log  *zap.Logger
	mux  *http.ServeMux

	mu      sync.Mutex
	proxies map[string]*proxy
}

// New makes a Server without proxies.
func New(cfg Config) *Server {
	s := &Server{ways: cfg.Ways, box: cfg.Box, log: cfg.Log, proxies: make(map[string]*proxy)}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	s.mux = s.newMux()
	if err := s.change(func() {}, func() {}); err != nil { // from here on nobody else's rules have the layer's name
		s.log.Warn("no rules can be put in force", zap.Error(err))
	}
	return s
}

// Close takes all proxies away, and their rules.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, p := range s.sorted() {
		errs = append(errs, s.discard(p))
	}
	return errors.Join(errs...)
}

// sorted is the proxies by their names.
func (s *Server) sorted() (all []*proxy) {
	for _, p := range s.proxies {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *proxy) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// A proxy is a way in with toxics. Its server's lock guards it.
type proxy struct {
	Name     string   `json:"name"`
	Listen   string   `json:"listen"`
	Upstream string   `json:"upstream"`
	Enabled  bool     `json:"enabled"`
	Toxics   []*toxic `json:"toxics"` // upstream ones first, then in the order of their making

	open bool // it has a way in; a proxy that was never enabled has none
	way  Way
}

// change changes something and puts the rules that follow in force. If they are refused,
// undo brings back what was.
func (s *Server) change(do, undo func()) error {
	do()
	set, err := s.compile()
	if err == nil {
		err = s.box.Put(Layer, set)
	}
	if err != nil {
		undo()
	}
	return err
}

// enable lets connections pass.
func (s *Server) enable(found lookups, p *proxy) error {
	opens := !p.open
	if opens {
		if err := p.makeWay(found); err != nil {
			return err
		}
	}
	err := s.change(func() { p.Enabled = true }, func() { p.Enabled = false })
	if err != nil && opens {
		p.open = false
		err = errors.Join(err, s.ways.Remove(p.Name))
	}
	return err
}

// makeWay gives a proxy its way in.
func (p *proxy) makeWay(found lookups) error {
	way, err := found.add(p)
	if errors.Is(err, syscall.EADDRINUSE) {
		place, _ := found.place(p.ends())
		return taken(place)
	}
	if err == nil {
		p.open, p.way, p.Listen = true, way, way.Listen
	}
	return err
}

// taken is what their server says of a place at which somebody listens.
func taken(place string) error {
	err := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	if at, wrong := netip.ParseAddrPort(place); wrong == nil {
		err.Addr = net.TCPAddrFromAddrPort(at)
	}
	return err
}

// disable ends all connections, and refuses new ones. The way in stays: it is the box that
// says no, as a host does on whose port nobody listens.
func (s *Server) disable(p *proxy) error {
	if !p.Enabled {
		return nil
	}
	if err := s.change(func() { p.Enabled = false }, func() { p.Enabled = true }); err != nil {
		return err
	}
	return s.box.Cut(p.way.Server)
}

// shut takes a proxy's way in away, and then the rule that has refused connections there.
func (s *Server) shut(p *proxy) error {
	if err := s.disable(p); err != nil || !p.open {
		return err
	}
	p.open = false
	return errors.Join(s.ways.Remove(p.Name), s.change(func() {}, func() {}))
}

// discard ends a proxy.
func (s *Server) discard(p *proxy) error {
	if err := s.shut(p); err != nil {
		return err
	}
	delete(s.proxies, p.Name)
	return nil
}

// put lists a proxy, in the place of old if that is not nil and has no way in any more. If it cannot be
// enabled, all is as before.
func (s *Server) put(found lookups, p, old *proxy, enabled bool) error {
	s.proxies[p.Name] = p
	if !enabled {
		return nil
	}
	err := s.enable(found, p)
	switch {
	case err != nil && old != nil:
		s.proxies[p.Name] = old
	case err != nil:
		delete(s.proxies, p.Name)
	}
	return err
}

// update gives a proxy other ends, or switches it. Other ends end its connections.
func (s *Server) update(found lookups, p *proxy, listen, upstream string, enabled bool) error {
	differs, err := p.differs(found, listen, upstream)
	if err != nil {
		return err
	}
	if differs {
		if err := found.check(ends{listen, upstream}); enabled && err != nil {
			return err
		}
		if err := s.shut(p); err != nil {
			return err
		}
		p.Listen, p.Upstream = listen, upstream
	}
	switch {
	case enabled && !p.Enabled:
		return s.enable(found, p)
	case !enabled:
		return s.disable(p)
	}
	return nil
}

// differs tells whether a proxy has other ends than these.
func (p *proxy) differs(found lookups, listen, upstream string) (bool, error) {
	if p.ends() == (ends{listen, upstream}) {
		return false, nil
	}
	place, err := found.place(ends{listen, upstream})
	if err != nil {
		return false, err
	}
	return p.Upstream != upstream || p.Listen != listen && p.Listen != place, nil
}

// reset enables all proxies and takes all toxics away.
func (s *Server) reset(found lookups) error {
	for _, p := range s.sorted() {
		toxics := p.Toxics
		if err := s.change(func() { p.Toxics = []*toxic{} }, func() { p.Toxics = toxics }); err != nil {
			return err
		}
		if !p.Enabled {
			if err := s.enable(found, p); err != nil {
				return err
			}
		}
	}
	return nil
}
