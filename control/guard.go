package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/client"
)

// errNeedsToken refuses to let the whole network break connections.
var errNeedsToken = errors.New("an API that is not on loopback needs a token; set $" + client.EnvToken)

// guard is the handler for what comes in at an address. A unix socket is guarded by its
// mode. Over TCP others may call, browsers above all: by a page of another origin,
// or of a name that points at this machine (DNS rebinding).
func (s *Server) guard(addr net.Addr) (http.Handler, error) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return s.handler(), nil
	}
	if s.cfg.Token == "" && !tcp.IP.IsLoopback() {
		return nil, errNeedsToken
	}
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answerError(w, &client.Error{Status: http.StatusForbidden, Message: "a page of another origin may not call"})
	}))
	return s.checkHost(s.checkToken(origins.Handler(s.handler()))), nil
}

func (s *Server) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.knownHost(r.Host) {
			answerError(w, &client.Error{
				Status: http.StatusForbidden, Message: "this instance is not called " + r.Host,
				Hint: "call it localhost, or by an address",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knownHost tells whether a Host header names this machine: an address does, as no
// name that somebody else has made could. HTTP/1.0 need not say any; browsers do.
func (s *Server) knownHost(host string) bool {
	if host == "" {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return strings.EqualFold(host, "localhost") ||
		slices.ContainsFunc(s.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

func (s *Server) checkToken(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(s.cfg.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(token))
		right := strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
		if s.cfg.Token != "" && !right {
			w.Header().Set("WWW-Authenticate", "Bearer")
			answerError(w, &client.Error{
				Status: http.StatusUnauthorized, Message: "the token is missing or wrong",
				Hint: "set " + client.EnvToken,
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}
