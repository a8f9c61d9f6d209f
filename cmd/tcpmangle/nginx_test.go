package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// What nginx serves as /body.
const bodySize = 1 << 20

var body = bytes.Repeat([]byte("0123456789abcdef"), bodySize/16)

// nginxConf has one process, which writes down each request that it has done.
const nginxConf = `
user root;
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
	log_format did "$request_method $uri";
	access_log did.log did;
	client_body_temp_path tmp;
	proxy_temp_path tmp;
	fastcgi_temp_path tmp;
	uwsgi_temp_path tmp;
	scgi_temp_path tmp;
	keepalive_timeout %s;
	server {
		listen %v;
		root .;
		location = /hello { return 200 "hello\n"; }
		location = /order { return 200 "ordered\n"; }
	}
}
`

// An httpd is an nginx.
type httpd struct{ folder string }

var nginxAt = netip.MustParseAddrPort("127.0.0.1:8080")

// nginx starts an nginx on a host at nginxAt; it closes connections that are idle for so long.
func nginx(t *testing.T, host *netns.NS, keepalive string) *httpd {
	t.Helper()
	needRoot(t)
	h := &httpd{t.TempDir()}
	for name, text := range map[string][]byte{"nginx.conf": fmt.Appendf(nil, nginxConf, keepalive, nginxAt), "body": body} {
		nstest.Must(t, os.WriteFile(filepath.Join(h.folder, name), text, 0o644))
	}
	serve(t, host, exec.Command(program(t, "nginx"), "-p", h.folder, "-c", "nginx.conf", "-e", "stderr"), nginxAt, syscall.SIGTERM)
	return h
}

// did counts how often it has done a request, like "GET /hello".
func (h *httpd) did(t *testing.T, request string) int {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(h.folder, "did.log"))
	nstest.Must(t, err)
	return strings.Count(string(log), request+"\n")
}

// asks sends a request on a connection.
func asks(t *testing.T, c net.Conn, path string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: nginx\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
}

// answer reads the answer to a request.
func answer(replies *bufio.Reader) (text []byte, err error) {
	r, err := http.ReadResponse(replies, nil)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if text, err = io.ReadAll(r.Body); err == nil && r.StatusCode != http.StatusOK {
		err = errors.New(r.Status)
	}
	return text, err
}

// hello wants an answer to a request on a connection.
func hello(t *testing.T, c net.Conn, replies *bufio.Reader) {
	t.Helper()
	asks(t, c, "/hello")
	if text, err := answer(replies); err != nil || string(text) != "hello\n" {
		t.Fatalf("the answer is %q, %v", text, err)
	}
}

// curl in front of nginx: what was lost comes again, and a reset in the middle of a body is an error.
func TestCurlThroughAFault(t *testing.T) {
	host := nstest.New(t)
	nginx(t, host, "75s")
	program(t, "curl")
	for _, row := range []struct {
		name, rule string
		status     int
		whole      bool
		stderr     []string
	}{
		{"the first of the answer is lost", `
match  = { port = 8080, from = "server", segment = "data" }
nth    = 1
action = "drop"
[[rule]]
name   = "again"
match  = { port = 8080, from = "server", segment = "data+retransmission", offset = 0 }
total  = 1
action = "pass"
`, 0, true, []string{"rule \"fault\" fired once\n", "rule \"again\" fired once\n"}},
		{"a reset in the body", `
match  = { port = 8080, from = "server", offset = "contains 500000" }
nth    = 1
action = { reset = "both" }
`, 56, false, []string{"curl: (56) Recv failure: Connection reset by peer\n", "rule \"fault\" fired once\n"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			rules := written(t, "fault.toml", "[[rule]]\nname = \"fault\"\n"+row.rule)
			o := finishOn(t, host, executing(t, []string{"-f", rules}, "curl", "-sS", "http://"+inline.HostName+":8080/body"))
			o.wants(t, row.status)
			has(t, "standard error", o.stderr, row.stderr...)
			if got := []byte(o.stdout); !bytes.HasPrefix(body, got) || row.whole != (len(got) == len(body)) {
				t.Errorf("curl got %d of %d bytes", len(got), len(body))
			}
		})
	}
}

// A NAT that forgets what is idle, between a client that keeps its connection and nginx: the next
// request hangs until the NAT is healed, or is reset. Another connection is not concerned.
func TestNginxIsForgotten(t *testing.T) {
	host := nstest.New(t)
	nginx(t, host, "75s")
	for _, then := range []string{"drop", "rst"} {
		t.Run(then, func(t *testing.T) {
			rules := written(t, "nat.toml", fmt.Sprintf(`
[[rule]]
name    = "nat"
match   = { server = "198.18.0.2", connection = 1 }
at      = { idle = "100ms" }
action  = { forget = %q }
enabled = false
`, then))
			args, api := runArgs(t, "-f", rules, "--proxy", "198.18.0.2:8080=127.0.0.1:8080")
			s := stand(t, host, command(t, args...))
			at := netip.MustParseAddrPort("198.18.0.2:8080")
			c := meet(t, host, at)
			replies := bufio.NewReader(c)
			hello(t, c, replies)
			_, err := api.Enable(t.Context(), "nat") // not before, or it might come between
			nstest.Must(t, err)
			awaits(t, api, client.Condition{Rule: "nat"})
			loses(t, api, 1, func() { asks(t, c, "/body") })
			answered := make(chan error, 1)
			go func() {
				text, err := answer(replies)
				if err == nil && !bytes.Equal(text, body) {
					err = fmt.Errorf("another body of %d bytes", len(text))
				}
				answered <- err
			}()
			other := meet(t, host, at)
			hello(t, other, bufio.NewReader(other))
			if then == "rst" {
				if err := <-answered; !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the forgotten connection: %v", err)
				}
			} else {
				if len(answered) > 0 {
					t.Error("the forgotten connection was answered")
				}
				nstest.Must(t, api.Heal(t.Context()))
				nstest.Must(t, <-answered)
			}
			s.end(t, syscall.SIGTERM).wants(t, 0)
		})
	}
}

// The race of keep-alive: nginx has closed an idle connection, its FIN is on the way, and the
// client sends a request. What may be repeated is, without anybody noticing; what may not is an error,
// and was not done.
func TestNginxKeepAliveRace(t *testing.T) {
	host := nstest.New(t)
	h := nginx(t, host, "100ms")
	rules := written(t, "race.toml", `
[[rule]]
name   = "cross"
match  = { server = "198.18.0.2", from = "server", segment = "first-fin" }
action = { hold = { until = "peer-data", timeout = "30s" } }
`)
	args, api := runArgs(t, "-f", rules, "--proxy", "198.18.0.2:8080=127.0.0.1:8080")
	s := stand(t, host, command(t, args...))
	dialed := 0
	web := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		dialed++
		return nstest.Dial(host, netip.MustParseAddrPort("198.18.0.2:8080"))
	}}}
	defer web.CloseIdleConnections()
	does := func(method, path string) error {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://nginx"+path, nil)
		nstest.Must(t, err)
		r, err := web.Do(req)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		_, err = io.Copy(io.Discard, r.Body)
		return err
	}
	crossing := func() {
		t.Helper()
		awaits(t, api, client.Condition{Filter: client.Filter{Port: "8080", ClientState: "ESTABLISHED", ServerState: "FIN_WAIT_1"}})
	}
	nstest.Must(t, does("GET", "/hello"))
	crossing()
	nstest.Must(t, does("GET", "/hello"))
	if dialed != 2 {
		t.Errorf("the client has connected %d times, want 2: its request is repeated on another connection", dialed)
	}
	crossing()
	if err := does("POST", "/order"); err == nil {
		t.Error("the POST on a connection that is closed had an answer")
	} else if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !strings.Contains(err.Error(), "server closed idle connection") {
		t.Error(err)
	}
	s.end(t, syscall.SIGTERM).wants(t, 0)
	for request, want := range map[string]int{"GET /hello": 2, "POST /order": 0} {
		if got := h.did(t, request); got != want {
			t.Errorf("nginx has done %s %d times, want %d", request, got, want)
		}
	}
}

// A client that has said all closes its half, and the answer comes, however late. It is a short
// one: nginx gives up what it has not sent yet when its client closes a half, with or without a box.
func TestNginxHalfClosed(t *testing.T) {
	host := nstest.New(t)
	nginx(t, host, "75s")
	rules := written(t, "late.toml", `
[[rule]]
name   = "late"
match  = { server = "198.18.0.2", from = "server", segment = "data" }
nth    = 1
action = { hold = { until = "release", behind = true } }
`)
	args, api := runArgs(t, "-f", rules, "--proxy", "198.18.0.2:8080=127.0.0.1:8080")
	s := stand(t, host, command(t, args...))
	c := meet(t, host, netip.MustParseAddrPort("198.18.0.2:8080"))
	asks(t, c, "/hello")
	nstest.Must(t, c.CloseWrite())
	awaits(t, api, client.Condition{Filter: client.Filter{Port: "8080", ClientState: "FIN_WAIT_1", ServerState: "LAST_ACK"}})
	nstest.Must(t, api.Release(t.Context()))
	replies := bufio.NewReader(c)
	if text, err := answer(replies); err != nil || string(text) != "hello\n" {
		t.Errorf("the answer is %q, %v", text, err)
	}
	if rest, err := io.ReadAll(replies); err != nil || len(rest) > 0 {
		t.Errorf("behind the answer came %q, %v", rest, err)
	}
	s.end(t, syscall.SIGTERM).wants(t, 0)
}
