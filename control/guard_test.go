package control_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/control"
)

// serveTCP serves a server on loopback and returns its URL.
func serveTCP(t *testing.T, s *control.Server) string {
	t.Helper()
	l, err := control.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// Over TCP browsers may call, so it matters where from.
func TestGuard(t *testing.T) {
	r := newRig(t, noRules, 1)
	plain := serveTCP(t, r.Server)
	guarded := serveTCP(t, control.New(control.Config{Engine: r.eng, Token: "secret", Hosts: []string{"lab.test"}}))
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(plain, "http://"))
	for _, row := range []struct {
		name, base, method, host, origin, site, token string
		status                                        int
		message                                       string
	}{
		{name: "loopback", base: plain, status: 204},
		{name: "by name", base: plain, host: "localhost:" + port, status: 204},
		{name: "IPv6", base: plain, host: "[::1]:" + port, status: 204},
		{name: "another name", base: plain, host: "evil.test:" + port, status: 403, message: "this instance is not called evil.test:" + port},
		{name: "same origin", base: plain, origin: plain, status: 204},
		{name: "foreign origin", base: plain, origin: "http://evil.test", status: 403, message: "a page of another origin may not call"},
		{name: "cross-site", base: plain, site: "cross-site", status: 403, message: "a page of another origin may not call"},
		{name: "foreign origin may read what its browser hides", base: plain, method: "GET", origin: "http://evil.test", status: 200},

		{name: "a preflight gets no leave", base: plain, method: "OPTIONS", origin: "http://evil.test", status: 405, message: "/v1/version does not do OPTIONS, but GET"},

		{name: "no token", base: guarded, status: 401, message: "the token is missing or wrong"},
		{name: "wrong token", base: guarded, token: "Bearer secre", status: 401, message: "the token is missing or wrong"},
		{name: "no scheme", base: guarded, token: "secret", status: 401, message: "the token is missing or wrong"},
		{name: "another scheme", base: guarded, token: "Basic secret", status: 401, message: "the token is missing or wrong"},
		{name: "token", base: guarded, token: "Bearer secret", status: 204},
		{name: "scheme in small letters", base: guarded, token: "bearer secret", status: 204},
		{name: "token, foreign origin", base: guarded, token: "Bearer secret", origin: "http://evil.test", status: 403, message: "a page of another origin may not call"},
		{name: "no token to read", base: guarded, method: "GET", status: 401, message: "the token is missing or wrong"},
		{name: "a name of ours", base: guarded, host: "LAB.test", token: "Bearer secret", status: 204},
	} {
		t.Run(row.name, func(t *testing.T) {
			method, path := "POST", "/v1/heal"
			if row.method != "" {
				method, path = row.method, "/v1/version"
			}
			req, _ := http.NewRequestWithContext(t.Context(), method, row.base+path, nil)
			req.Host = row.host
			for key, value := range map[string]string{"Origin": row.origin, "Sec-Fetch-Site": row.site, "Authorization": row.token} {
				if value != "" {
					req.Header.Set(key, value)
				}
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			for key := range resp.Header {
				if strings.HasPrefix(key, "Access-Control-") {
					t.Errorf("%s: a browser might let a page read the answer", key)
				}
			}
			if resp.StatusCode != row.status || !strings.Contains(string(text), row.message) {
				t.Errorf("%d %s, want %d %q", resp.StatusCode, text, row.status, row.message)
			}
		})
	}
}

// Off loopback nobody listens without a token.
func TestTokenIsWanted(t *testing.T) {
	r := newRig(t, noRules, 1)
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Serve(l); err == nil || !strings.Contains(err.Error(), "needs a token") {
		t.Errorf("Serve: %v", err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("it listens")
	}
}

// A client with a token gets in.
func TestClientToken(t *testing.T) {
	r := newRig(t, noRules, 1)
	base := serveTCP(t, control.New(control.Config{Engine: r.eng, Token: "secret"}))
	c, err := client.New(base)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Version(t.Context()); !client.IsStatus(err, 401) {
		t.Errorf("without a token: %v", err)
	}
	if _, err := c.WithToken("secret").Version(t.Context()); err != nil {
		t.Error(err)
	}
}
