package toxiproxy

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// The calls, their statuses and their JSON are those of Toxiproxy's server 2.12.

// version is the one that we are compatible with.
const version = "2.12.0"

// An apiError is an answer that is no success.
type apiError struct {
	Message string `json:"error"`
	Status  int    `json:"status"`
}

func (e *apiError) Error() string { return e.Message }

var (
	errProxyNotFound = &apiError{"proxy not found", http.StatusNotFound}
	errProxyExists   = &apiError{"proxy already exists", http.StatusConflict}
	errStream        = &apiError{"stream was invalid, can be either upstream or downstream", http.StatusBadRequest}
	errToxicType     = &apiError{"invalid toxic type", http.StatusBadRequest}
	errToxicExists   = &apiError{"toxic already exists", http.StatusConflict}
	errToxicNotFound = &apiError{"toxic not found", http.StatusNotFound}
)

// badBody refuses what a call has sent.
func badBody(err error) error {
	return &apiError{"bad request body: " + err.Error(), http.StatusBadRequest}
}

// missing refuses what a call has not sent.
func missing(field string) error {
	return &apiError{"missing required field: " + field, http.StatusBadRequest}
}

// asAPIError is any error in the API's shape.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return &apiError{err.Error(), http.StatusInternalServerError}
}

// A call is one that has come in whole, with what is behind the names in it.
type call struct {
	*http.Request
	found lookups
}

// A handler does a call; it returns the status of success with what is answered, nil for nothing. It has the lock.
type handler func(s *Server, r *call) (status int, v any, err error)

func (s *Server) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /proxies":           (*Server).listProxies,
		"POST /proxies":          (*Server).createProxy,
		"POST /populate":         (*Server).populate,
		"POST /reset":            (*Server).resetAll,
		"GET /proxies/{proxy}":   withProxy((*Server).showProxy),
		"POST /proxies/{proxy}":  withProxy((*Server).updateProxy),
		"PATCH /proxies/{proxy}": withProxy((*Server).updateProxy),

		"DELETE /proxies/{proxy}":                withProxy((*Server).deleteProxy),
		"GET /proxies/{proxy}/toxics":            withProxy((*Server).listToxics),
		"POST /proxies/{proxy}/toxics":           withProxy((*Server).createToxic),
		"GET /proxies/{proxy}/toxics/{toxic}":    withProxy(withToxic((*Server).showToxic)),
		"POST /proxies/{proxy}/toxics/{toxic}":   withProxy(withToxic((*Server).updateToxic)),
		"PATCH /proxies/{proxy}/toxics/{toxic}":  withProxy(withToxic((*Server).updateToxic)),
		"DELETE /proxies/{proxy}/toxics/{toxic}": withProxy(withToxic((*Server).deleteToxic)),
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, h) })
	}
	mux.HandleFunc("GET /version", s.version)
	return mux
}

// ServeHTTP answers a call. Pages in browsers may not make any: they would need no leave
// of the user.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.UserAgent(), "Mozilla/") || http.NewCrossOriginProtection().Check(r) != nil {
		http.Error(w, "User agent not allowed", http.StatusForbidden)
		return
	}
	w.Header().Set("X-Toxiproxy-Request-Id", rand.Text())
	s.mux.ServeHTTP(w, r)
}

// maxBody bounds what a call may send.
const maxBody = 4 << 20

// answer does a call. Its body is read before, and names are looked up: one who sends it slowly, or half of
// it, and a name server that is silent, hold up nobody else.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, h handler) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		respondError(w, badBody(err))
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c := &call{r, s.lookUp(r, body)}
	s.mu.Lock()
	status, v, err := h(s, c)
	out, bug := json.Marshal(v)
	s.mu.Unlock()
	switch err = cmp.Or(err, bug); {
	case err != nil:
		respondError(w, err)
	case status == http.StatusNoContent:
		w.WriteHeader(status)
	default:
		respond(w, status, out)
	}
}

// respondError answers with an error; unlike other answers it ends with a newline, as their server's do.
func respondError(w http.ResponseWriter, err error) {
	e := asAPIError(err)
	out, _ := json.Marshal(e) // plain fields always marshal
	respond(w, e.Status, append(out, '\n'))
}

// respond answers with JSON.
func respond(w http.ResponseWriter, status int, out []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(out) // who has gone hears nothing
}

// withProxy finds the proxy that a path names.
func withProxy(h func(*Server, *call, *proxy) (int, any, error)) handler {
	return func(s *Server, r *call) (int, any, error) {
		p := s.proxies[r.PathValue("proxy")]
		if p == nil {
			return 0, nil, errProxyNotFound
		}
		return h(s, r, p)
	}
}

// withToxic finds the toxic that a path names.
func withToxic(h func(*Server, *call, *proxy, *toxic) (int, any, error)) func(*Server, *call, *proxy) (int, any, error) {
	return func(s *Server, r *call, p *proxy) (int, any, error) {
		t := p.toxic(r.PathValue("toxic"))
		if t == nil {
			return 0, nil, errToxicNotFound
		}
		return h(s, r, p, t)
	}
}

// version is written as their server writes it, whose clients hand it on as it is.
func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	fmt.Fprintf(w, "{\"version\": %q}\n", version)
}

func (s *Server) listProxies(*call) (int, any, error) { return http.StatusOK, s.proxies, nil }

func (s *Server) showProxy(_ *call, p *proxy) (int, any, error) { return http.StatusOK, p, nil }

// A proxyInput is what calls send of a proxy.
type proxyInput struct {
	Name     string `json:"name"`
	Listen   string `json:"listen"`
	Upstream string `json:"upstream"`
	Enabled  *bool  `json:"enabled"` // true by default
}

func (in *proxyInput) enabled() bool { return in.Enabled == nil || *in.Enabled }

// check refuses an input that lacks something; where says which one it is.
func (in *proxyInput) check(where string) error {
	switch {
	case in.Name == "":
		return missing("name" + where)
	case in.Upstream == "":
		return missing("upstream" + where)
	}
	return nil
}

func (in *proxyInput) proxy() *proxy {
	return &proxy{Name: in.Name, Listen: in.Listen, Upstream: in.Upstream, Toxics: []*toxic{}}
}

func (s *Server) createProxy(r *call) (int, any, error) {
	var in proxyInput
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return 0, nil, badBody(err)
	}
	if err := in.check(""); err != nil {
		return 0, nil, err
	}
	if s.proxies[in.Name] != nil {
		return 0, nil, errProxyExists
	}
	p := in.proxy()
	return http.StatusCreated, p, s.put(r.found, p, nil, in.enabled())
}

func (s *Server) updateProxy(r *call, p *proxy) (int, any, error) {
	in := proxyInput{Listen: p.Listen, Upstream: p.Upstream}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return 0, nil, badBody(err)
	}
	enabled := p.Enabled
	if in.Enabled != nil {
		enabled = *in.Enabled
	}
	if err := s.update(r.found, p, in.Listen, in.Upstream, enabled); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p, nil
}

func (s *Server) deleteProxy(_ *call, p *proxy) (int, any, error) {
	return http.StatusNoContent, nil, s.discard(p)
}

// A population is the answer to populate: what was made, also before a mistake was met.
type population struct {
	*apiError
	Proxies []*proxy `json:"proxies"`
}

// populate makes proxies, in the place of those of the same names that have other ends.
func (s *Server) populate(r *call) (int, any, error) {
	var all []proxyInput
	err := json.NewDecoder(r.Body).Decode(&all)
	if err != nil {
		err = badBody(err)
	}
	for i := range all {
		if err == nil {
			err = all[i].check(fmt.Sprintf(" at proxy %d", i+1))
		}
	}
	var out population
	for i := range all {
		if err != nil {
			break
		}
		var p *proxy
		if p, err = s.replace(r.found, &all[i]); err == nil {
			out.Proxies = append(out.Proxies, p)
		}
	}
	if err == nil {
		return http.StatusCreated, out, nil
	}
	out.apiError = asAPIError(err)
	return out.Status, out, nil
}

// replace makes a proxy, unless there is one of the same name and ends. One that cannot be replaced stays, disabled.
func (s *Server) replace(found lookups, in *proxyInput) (*proxy, error) {
	old := s.proxies[in.Name]
	if old != nil {
		differs, err := old.differs(found, in.Listen, in.Upstream)
		if err != nil || !differs {
			return old, err
		}
		if err := s.shut(old); err != nil {
			return nil, err
		}
	}
	p := in.proxy()
	return p, s.put(found, p, old, in.enabled())
}

func (s *Server) resetAll(r *call) (int, any, error) {
	return http.StatusNoContent, nil, s.reset(r.found)
}

func (s *Server) listToxics(_ *call, p *proxy) (int, any, error) {
	return http.StatusOK, p.Toxics, nil
}

func (s *Server) showToxic(_ *call, _ *proxy, t *toxic) (int, any, error) {
	return http.StatusOK, t, nil
}

func (s *Server) createToxic(r *call, p *proxy) (int, any, error) {
	t, err := readToxic(r.Body)
	if err != nil {
		return 0, nil, err
	}
	if p.toxic(t.Name) != nil {
		return 0, nil, errToxicExists
	}
	before := p.Toxics
	return http.StatusOK, t, s.change(func() { p.insert(t) }, func() { p.Toxics = before })
}

func (s *Server) updateToxic(r *call, p *proxy, t *toxic) (int, any, error) {
	updated, err := t.updated(r.Body)
	if err != nil {
		return 0, nil, err
	}
	before := *t
	return http.StatusOK, t, s.change(func() { *t = *updated }, func() { *t = before })
}

func (s *Server) deleteToxic(_ *call, p *proxy, t *toxic) (int, any, error) {
	before := p.Toxics
	return http.StatusNoContent, nil, s.change(func() { p.remove(t) }, func() { p.Toxics = before })
}
