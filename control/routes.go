package control

import (
	_ "embed"
	"maps"
	"net/http"
	"net/url"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/client"
)

// A route is one call. What it returns as an error is answered in the one shape.
type route struct {
	method, path string
	takes        takes
	handle       func(http.ResponseWriter, *http.Request) error
}

// takes is what a call takes besides its path.
type takes struct {
	params string // of the URL; anything if it is *
	lists  string // those of them that may be given again
	body   bool
}

var (
	nothingElse = takes{}
	aBody       = takes{body: true}
	aFilter     = takes{params: "state client_state server_state port client server tag closed after limit"}
	aTail       = takes{params: "type conn rule all", lists: "type"}
	aText       = takes{params: "file", body: true}
	anything    = takes{params: "*"} // Prometheus may be told to send parameters
)

// routes are all calls; openapi.yaml describes the same ones.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/healthz", nothingElse, s.health},
		{"GET", "/metrics", anything, s.metrics()},
		{"GET", "/v1/version", nothingElse, s.version},
		{"GET", "/v1/openapi.yaml", nothingElse, s.openAPI},

		{"GET", "/v1/connections", aFilter, s.listConnections},
		{"GET", "/v1/connections/{conn}", nothingElse, s.showConnection},
		{"POST", "/v1/connections/{conn}/{action}", aBody, s.act},

		{"GET", "/v1/rules", nothingElse, s.listRules},
		{"PUT", "/v1/rules", aText, s.setRules},
		{"GET", "/v1/rules/{rule}", nothingElse, s.showRule},
		{"POST", "/v1/rules/{rule}/enable", nothingElse, s.enableRule},
		{"POST", "/v1/rules/{rule}/disable", nothingElse, s.disableRule},
		{"POST", "/v1/rules/{rule}/release", nothingElse, s.releaseRule},
		{"POST", "/v1/reload", nothingElse, s.reload},
		{"POST", "/v1/release", nothingElse, s.release},
		{"POST", "/v1/heal", nothingElse, s.heal},

		{"GET", "/v1/leases", nothingElse, s.listLeases},
		{"POST", "/v1/leases", aBody, s.newLease},
		{"GET", "/v1/leases/{lease}", nothingElse, s.showLease},
		{"PUT", "/v1/leases/{lease}", aBody, s.setLease},
		{"POST", "/v1/leases/{lease}/renew", nothingElse, s.renewLease},
		{"DELETE", "/v1/leases/{lease}", nothingElse, s.endLease},

		{"GET", "/v1/events", aTail, s.events},
		{"POST", "/v1/wait", aBody, s.wait},
	}
}

func (s *Server) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			err := r.takes.check(w, req)
			if err == nil {
				err = r.handle(w, req)
			}
			if err != nil {
				answerError(w, err)
			}
		})
	}
	mux.HandleFunc("/", s.unknown)
	return mux
}

// handler is the mux, which would send those who call by a path with // or .. to another one.
func (s *Server) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			noPath(w, r)
			return
		}
		s.mux.ServeHTTP(w, r)
	})
}

// unknown answers calls that there are not, and says which methods there are.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{"DELETE", "GET", "POST", "PUT"} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); strings.HasPrefix(pattern, method+" ") {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		noPath(w, r)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	answerError(w, refuse(http.StatusMethodNotAllowed, "%s does not do %s, but %s", r.URL.Path, r.Method, strings.Join(allowed, ", ")))
}

func noPath(w http.ResponseWriter, r *http.Request) {
	answerError(w, &client.Error{
		Status: http.StatusNotFound, Message: "there is no " + r.URL.Path, Hint: "GET /v1/openapi.yaml lists the calls",
	})
}

// check refuses what a call does not take: a parameter that is misspelt would silently
// select everything, a body that nobody reads would ask for something that is not done.
func (t takes) check(w http.ResponseWriter, r *http.Request) error {
	if err := t.checkQuery(r.URL.RawQuery); err != nil {
		return err
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return refuse(http.StatusUnsupportedMediaType, "bodies of calls are not encoded; this one is in %s", coding)
	}
	if t.body || t.params == "*" {
		return nil
	}
	text, err := readText(w, r)
	if body := strings.TrimSpace(text); err == nil && body != "" && body != "{}" && body != "null" {
		err = refuse(http.StatusBadRequest, "%s takes no body", r.URL.Path)
	}
	return err
}

func (t takes) checkQuery(raw string) error {
	if t.params == "*" {
		return nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return refuse(http.StatusBadRequest, "bad query: %v", err)
	}
	known := strings.Fields(t.params)
	for _, key := range slices.Sorted(maps.Keys(query)) {
		switch {
		case !slices.Contains(known, key) && len(known) == 0:
			return refuse(http.StatusBadRequest, "unknown parameter %q; there is none", key)
		case !slices.Contains(known, key):
			return refuse(http.StatusBadRequest, "unknown parameter %q; there is %s", key, strings.Join(known, ", "))
		case len(query[key]) > 1 && !slices.Contains(strings.Fields(t.lists), key):
			return refuse(http.StatusBadRequest, "%s is given twice; alternatives stand in one, with commas between", key)
		}
	}
	return nil
}

// health answers 200 while packets move.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	if err := s.cfg.Engine.Call(nothing); err != nil {
		return err
	}
	return answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, client.Version{Version: s.cfg.Version, Go: runtime.Version(), API: 1})
}

//go:embed openapi.yaml
var openAPI []byte

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
	return nil
}
