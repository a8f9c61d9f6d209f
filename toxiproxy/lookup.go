package toxiproxy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
)

// Names are looked up before a call takes the lock: a name server that does not answer holds up
// nobody but who needs it.

// ends are those of a proxy, as a call has them.
type ends struct{ listen, upstream string }

// A lookup is what there is behind ends.
type lookup struct {
	add   func(name string) (Way, error)
	place string // where listen is, in numbers

	upstreamErr, listenErr error
}

// lookups are what one call may need, and no more.
type lookups map[ends]lookup

// errMeanwhile refuses a call that needs what it has not looked up: another one was quicker.
var errMeanwhile = &apiError{"another call has changed the proxy meanwhile", http.StatusConflict}

// add makes a way in for a proxy.
func (l lookups) add(p *proxy) (Way, error) {
	e := p.ends()
	if err := l.check(e); err != nil {
		return Way{}, err
	}
	return l[e].add(p.Name)
}

// check tells why there can be no way in between ends.
func (l lookups) check(e ends) error {
	found, ok := l[e]
	if !ok {
		return errMeanwhile
	}
	return found.upstreamErr
}

// place is where ends are to listen, in numbers.
func (l lookups) place(e ends) (string, error) {
	found, ok := l[e]
	if !ok {
		return "", errMeanwhile
	}
	return found.place, found.listenErr
}

// lookUp finds what is behind the ends that a call may need, for as long as its context lets it.
func (s *Server) lookUp(r *http.Request, body []byte) lookups {
	found := make(lookups)
	for _, e := range s.endsOf(r, body) {
		if _, did := found[e]; did {
			continue
		}
		var l lookup
		l.add, l.upstreamErr = s.ways.Prepare(r.Context(), e.listen, e.upstream)
		l.place, l.listenErr = inNumbers(r.Context(), cmp.Or(e.listen, ":0"))
		found[e] = l
	}
	return found
}

// endsOf are the ends that a call may need, and no others: a proxy can be switched off whatever its name server
// does. What is wrong with the body is found out later.
func (s *Server) endsOf(r *http.Request, body []byte) (all []ends) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Pattern {
	case "POST /proxies":
		var in proxyInput
		readFirst(body, &in)
		all = needed(nil, in, in.enabled())
	case "POST /populate":
		var inputs []proxyInput
		readFirst(body, &inputs)
		for _, in := range inputs {
			all = append(all, needed(s.proxies[in.Name], in, in.enabled())...)
		}
	case "POST /proxies/{proxy}", "PATCH /proxies/{proxy}":
		if p := s.proxies[r.PathValue("proxy")]; p != nil {
			in := proxyInput{Listen: p.Listen, Upstream: p.Upstream}
			readFirst(body, &in)
			all = needed(p, in, in.Enabled == nil && p.Enabled || in.Enabled != nil && *in.Enabled)
		}
	case "POST /reset":
		for _, p := range s.proxies {
			all = append(all, needed(p, proxyInput{Listen: p.Listen, Upstream: p.Upstream}, true)...)
		}
	}
	return all
}

// readFirst reads a body as a call does: what follows the value is nobody's.
func readFirst(body []byte, v any) { _ = json.NewDecoder(bytes.NewReader(body)).Decode(v) }

// needed are the ends that have to be known to make or change a proxy: its own, if it is to get a way in, and
// others that it is to have.
func needed(old *proxy, in proxyInput, enabled bool) (all []ends) {
	if old != nil && !old.open && enabled {
		all = append(all, old.ends())
	}
	if e := (ends{in.Listen, in.Upstream}); old == nil && enabled || old != nil && e != old.ends() {
		all = append(all, e)
	}
	return all
}

func (p *proxy) ends() ends { return ends{p.Listen, p.Upstream} }

// inNumbers is HOST:PORT without names, as what listens there says of itself. A host's is looked
// up for as long as ctx lets it, in IPv4 first.
func inNumbers(ctx context.Context, end string) (string, error) {
	host, port, err := net.SplitHostPort(end)
	if err != nil {
		return "", err
	}
	if _, name := netip.ParseAddr(host); host != "" && name != nil {
		all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return "", err
		}
		i := max(slices.IndexFunc(all, func(a netip.Addr) bool { return a.Unmap().Is4() }), 0)
		host = all[i].Unmap().String()
	}
	a, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, port)) // asks nobody any more
	if err != nil {
		return "", err
	}
	return a.String(), nil
}
