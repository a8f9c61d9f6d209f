package control

import (
	_ "embed"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/client"
)

// A route is one call. What it returns as an error is answered in the one shape.
type route struct {
	method, path string
	handle       func(http.ResponseWriter, *http.Request) error
}

// routes are all calls; openapi.yaml describes the same ones.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/healthz", s.health},
		{"GET", "/metrics", s.metrics()},
		{"GET", "/v1/version", s.version},
		{"GET", "/v1/openapi.yaml", s.openAPI},

		{"GET", "/v1/connections", s.listConnections},
		{"GET", "/v1/connections/{conn}", s.showConnection},
		{"POST", "/v1/connections/{conn}/{action}", s.act},

		{"GET", "/v1/rules", s.listRules},
		{"PUT", "/v1/rules", s.setRules},
		{"GET", "/v1/rules/{rule}", s.showRule},
		{"POST", "/v1/rules/{rule}/enable", s.enableRule},
		{"POST", "/v1/rules/{rule}/disable", s.disableRule},
		{"POST", "/v1/rules/{rule}/release", s.releaseRule},
		{"POST", "/v1/reload", s.reload},
		{"POST", "/v1/release", s.release},
		{"POST", "/v1/heal", s.heal},

		{"GET", "/v1/leases", s.listLeases},
		{"POST", "/v1/leases", s.newLease},
		{"GET", "/v1/leases/{lease}", s.showLease},
		{"PUT", "/v1/leases/{lease}", s.setLease},
		{"POST", "/v1/leases/{lease}/renew", s.renewLease},
		{"DELETE", "/v1/leases/{lease}", s.endLease},

		{"GET", "/v1/events", s.events},
		{"POST", "/v1/wait", s.wait},
	}
}

func (s *Server) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			if err := r.handle(w, req); err != nil {
				answerError(w, err)
			}
		})
	}
	mux.HandleFunc("/", s.unknown)
	return mux
}

// unknown answers calls that there are not, and says which methods there are.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{"DELETE", "GET", "POST", "PUT"} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		answerError(w, &client.Error{
			Status: http.StatusNotFound, Message: "there is no " + r.URL.Path, Hint: "GET /v1/openapi.yaml lists the calls",
		})
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	answerError(w, refuse(http.StatusMethodNotAllowed, "%s does not do %s, but %s", r.URL.Path, r.Method, strings.Join(allowed, ", ")))
}

// onlyQuery refuses parameters of the URL that a call does not know: one that is
// misspelt would silently select everything.
func onlyQuery(r *http.Request, known ...string) error {
	for key := range r.URL.Query() {
		if !slices.Contains(known, key) {
			return refuse(http.StatusBadRequest, "unknown parameter %q; there is %s", key, strings.Join(known, ", "))
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
