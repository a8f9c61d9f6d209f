package script

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A row is two scripts on one loopback: the server, and the client that starts
// once the server listens. Empty wants mean that the script ends well.
func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name                   string
		server, client         string
		serverWant, clientWant string
	}{
		{
			name:   "graceful close",
			server: "listen 80\naccept\nrecv 4\nsend pong\nrecv eof\nclose",
			client: "connect server:80\nsend ping\nrecv-text pong\nclose",
		},
		{
			name:   "half-close: answer after the client's FIN",
			server: "listen 80\naccept\nrecv eof\nsend late\nclose",
			client: "connect server:80\nsend all\nshutdown\nrecv-text late\nrecv eof\nclose",
		},
		{
			name:   "a megabyte of pattern, both ways",
			server: "listen 80\naccept\nsend abc\nsend 1MiB bytes\nrecv 1000 pattern\nrecv eof pattern\nclose",
			client: "connect server:80\nrecv-text abc\nrecv 1MiB pattern\nsend 999 bytes\nsend 300000 bytes\nclose",
		},
		{
			name:   "abort resets",
			server: "listen 80\naccept\nrecv 2\nexpect-error ECONNRESET\nrecv eof\nexpect-error EPIPE\nsend x\nclose",
			client: "connect server:80\nsend hi\nsleep 50ms\nabort",
		},
		{
			name:   "linger 0s makes close an abort",
			server: "listen 80\naccept\nexpect-error ECONNRESET\nrecv 1",
			client: "connect server:80\nset linger 0s\nclose",
		},
		{
			name:   "unread data at close resets",
			server: "listen 80\naccept\nrecv 1\nsleep 50ms\nclose",
			client: "connect server:80\nsend unread\nexpect-error ECONNRESET\nrecv eof",
		},
		{
			name:   "EOF too early",
			server: "listen 80\naccept\nsend ab\nclose",
			client: "connect server:80\nrecv 4", clientWant: `line 2: recv 4: EOF after 2 bytes "ab"`,
		},
		{
			name:   "EOF too early, expected",
			server: "listen 80\naccept\nsend ab\nclose",
			client: "connect server:80\nexpect-error EOF\nrecv 4\nclose",
		},
		{
			name:   "reset after partial data",
			server: "listen 80\naccept\nsend ab\nrecv 1\nsleep 50ms\nabort",
			client: "connect server:80\nsend x\nrecv eof", clientWant: `line 3: recv eof: ECONNRESET after 2 bytes "ab"`,
		},
		{
			name:   "send into a dead connection, whichever error is first",
			server: "listen 80\naccept\nrecv 2\nabort\naccept\nsend dead",
			client: "connect server:80\nsend hi\nconnect server:80\nrecv-text dead\nclose\nexpect-error ECONNRESET EPIPE\nsend x\nclose",
		},
		{
			name:   "how much went before the error",
			server: "listen 80\naccept\nset rcvbuf 4KiB\nsleep 100ms\nabort",
			client: "set sndbuf 4KiB\nconnect server:80\nexpect-error ECONNRESET\nsend 10MiB bytes",
		},
		{
			name:   "other text",
			server: "listen 80\naccept\nsend pong\nclose",
			client: "connect server:80\nrecv-text ping", clientWant: `line 2: recv-text ping: MISMATCH at byte 1: "ong" came where "ing" was due`,
		},
		{
			name:   "other text, shorter than awaited",
			server: "listen 80\naccept\nsend no\nrecv eof",
			client: "connect server:80\nexpect-error MISMATCH\nrecv-text yes\nclose",
		},
		{
			name:   "not the pattern",
			server: "listen 80\naccept\nsend 0000x\nrecv eof",
			client: "connect server:80\nrecv 5 pattern", clientWant: `line 2: recv 5 pattern: MISMATCH at byte 4: "x" came where "0" was due`,
			serverWant: "killed",
		},
		{
			name:   "refused",
			server: "listen 80",
			client: "expect-error ECONNREFUSED\nconnect server:81\nconnect server:80",
		},
		{
			name:   "an error in vain",
			server: "listen 80",
			client: "expect-error ECONNREFUSED\nconnect server:80", clientWant: "line 2: connect server:80: succeeded, but ECONNREFUSED was expected",
		},
		{
			name:   "another error",
			server: "listen 80",
			client: "expect-error ETIMEDOUT EPIPE\nconnect server:81", clientWant: "line 2: connect server:81: ECONNREFUSED, but ETIMEDOUT or EPIPE was expected",
		},
		{
			name:   "no route",
			server: "listen 80",
			client: "expect-error ENETUNREACH\nconnect 192.0.2.1:80\nexpect-error ENETUNREACH\nconnect [2001:db8::1]:80",
		},
		{
			name:   "no such host",
			server: "listen 80",
			client: "connect sever:80", clientWant: "line 1: connect sever:80: UNRESOLVED (no host sever)",
		},
		{
			name:       "port taken",
			server:     "listen 80\nlisten 80",
			serverWant: "line 2: listen 80: EADDRINUSE",
		},
		{
			name:   "several connections, the latest first",
			server: "listen 80\naccept\naccept\nsend second\nclose\nsend first\nclose\nclose\nexpect-error ECONNREFUSED\nconnect server:80",
			client: "connect server:80\nconnect server:80\nrecv-text second\nrecv eof\nclose\nrecv-text first\nrecv eof\nclose",
		},
		{
			name:   "its old port, without SO_REUSEADDR and with it",
			server: "listen 80\naccept\nrecv eof\nclose\naccept\nrecv-text again\nclose",
			client: "set reuseaddr\nconnect server:80 from 4000\nshutdown\nrecv eof\nclose\n" +
				"set reuseaddr off\nexpect-error EADDRINUSE\nconnect server:80 from 4000\nset reuseaddr\nconnect server:80 from 4000\nsend again\nrecv eof\nclose",
		},
		{
			name: "restart of a server that closed first",
			server: "set reuseaddr\nlisten 80\naccept\nshutdown\nrecv eof\nclose\nclose\n" +
				"set reuseaddr off\nexpect-error EADDRINUSE\nlisten 80\nset reuseaddr\nlisten 80",
			client: "connect server:80\nrecv eof\nclose",
		},
		{
			name:   "SYNs into a full accept queue time out",
			server: "listen 80 backlog 0",
			client: "set syncnt 1\nconnect server:80\nexpect-error ETIMEDOUT\nconnect server:80",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			server := h.start("server", tt.server)
			if tt.client != "" {
				server.listens()
				client := h.start("client", tt.client)
				client.ends(tt.clientWant)
			}
			server.ends(tt.serverWant)
		})
	}
}

// listens waits until the script has done its first listen.
func (s *side) listens() {
	s.t.Helper()
	until(s.t, s.name+" listens", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.sockets) > 0
	})
}

// ends demands one of the ends a row of TestRun can name.
func (s *side) ends(want string) {
	s.t.Helper()
	switch want {
	case "":
		s.ok()
	case "killed":
		s.Kill()
		if err := s.wait(); err != ErrKilled {
			s.t.Fatalf("%s: got %v, want %v", s.name, err, ErrKilled)
		}
	default:
		s.fails(want)
	}
}

func TestOutput(t *testing.T) {
	h := newHost(t)
	server, client := h.pair(
		"listen 80 # wait\naccept\nrecv 4\n  send \"po\\n\"\nrecv eof\nclose",
		"connect server:80 from 4000\nsend ping\nset nodelay\nrecv 1\nsend 100 bytes\nshutdown\nexpect-error EOF\nrecv 70\nsleep 0s\nabort")
	client.ok()
	server.ok()
	for _, tt := range []struct {
		side *side
		want []string
	}{
		{server, []string{"listen 80", "accept: 127.0.0.2:80 from 127.0.0.1:4000", `recv 4: 4 bytes "ping"`, `send "po\n"`,
			`recv eof: 100 bytes "000\n0000008\n0000010\n0000018\n0000020\n0000028\n0000030\n0000038\n0000"...`, "close"}},
		{client, []string{"connect server:80 from 4000: 127.0.0.1:4000 to 127.0.0.2:80", "send ping", "set nodelay", `recv 1: 1 byte "p"`,
			"send 100 bytes", "shutdown", `recv 70: EOF after 2 bytes "o\n", as expected`, "sleep 0s", "abort"}},
	} {
		if got := tt.side.told(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s told\n%s\nwant\n%s", tt.side.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

func TestFailureIsReported(t *testing.T) {
	h := newHost(t)
	client := h.start("client", "expect-error ECONNREFUSED\nconnect server:80\nconnect server:80")
	err := client.wait()
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("Run: %v is not ECONNREFUSED", err)
	}
	f, ok := errors.AsType[*Failure](err)
	if !ok || f.Line != 3 || f.Name != "ECONNREFUSED" || f.Expected || f.Command != "connect server:80" {
		t.Errorf("Run: %+v", f)
	}
	if n := len(client.failures); n != 2 || !client.failures[0].Expected || client.failures[0].Line != 2 || client.failures[1].Expected {
		t.Errorf("OnError: %+v", client.failures)
	}
}

func TestOnSocket(t *testing.T) {
	h := newHost(t)
	server, client := h.pair("listen 80\naccept", "connect server:80 from 4000\nexpect-error ENETUNREACH\nconnect 192.0.2.1:1")
	client.ok()
	server.ok()
	c, s := netip.MustParseAddrPort("127.0.0.1:4000"), netip.MustParseAddrPort("127.0.0.2:80")
	if want := [][2]netip.AddrPort{{netip.MustParseAddrPort("0.0.0.0:80")}, {s, c}}; !reflect.DeepEqual(server.sockets, want) {
		t.Errorf("server: %v, want %v", server.sockets, want)
	}
	if want := [][2]netip.AddrPort{{c, s}}; !reflect.DeepEqual(client.sockets, want) {
		t.Errorf("client: %v, want %v", client.sockets, want)
	}
}

func TestV6(t *testing.T) {
	h := newHost(t)
	server := h.side("server")
	server.V6 = true
	script := parse(t, "listen 80\naccept\nsend six\nclose")
	server.run(func() error { return server.Run(t.Context(), script) })
	server.listens()
	client := h.start("client", "expect-error ECONNREFUSED\nconnect server:80\nconnect [::1]:80 from 4000\nrecv-text six\nrecv eof\nclose")
	client.ok()
	server.ok()
	if got, want := client.told()[1], "connect [::1]:80 from 4000: [::1]:4000 to [::1]:80"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Every option, as the kernel holds it, on the listener, on what it accepts,
// and on a connection that is open.
func TestSet(t *testing.T) {
	for _, tt := range []struct {
		set        string
		level, opt int
		want       int
	}{
		{"keepalive", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"keepalive 7s/8s/9", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"keepalive 7s/8s/9", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 7},
		{"keepalive 7s/8s/9", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 8},
		{"keepalive 7s/8s/9", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
		{"user-timeout 1500ms", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 1500},
		{"linger2 7s", unix.IPPROTO_TCP, unix.TCP_LINGER2, 7},
		{"linger2 off", unix.IPPROTO_TCP, unix.TCP_LINGER2, -1},
		{"nodelay", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"cork", unix.IPPROTO_TCP, unix.TCP_CORK, 1},
		{"reuseaddr", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{"reuseport", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1},
		{"rcvbuf 10000", unix.SOL_SOCKET, unix.SO_RCVBUF, 20000}, // the kernel doubles
		{"sndbuf 10000", unix.SOL_SOCKET, unix.SO_SNDBUF, 20000},
		{"window-clamp 20000", unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, 20000},
		{"syncnt 2", unix.IPPROTO_TCP, unix.TCP_SYNCNT, 2},
	} {
		t.Run(tt.set, func(t *testing.T) {
			h := newHost(t)
			server, client := h.pair("set "+tt.set+"\nlisten 80\naccept", "connect server:80\nset "+tt.set)
			client.ok()
			server.ok()
			for _, s := range []*side{server, client} {
				for i, c := range s.Runner.sockets {
					c.control(func(fd int) error {
						if got, err := unix.GetsockoptInt(fd, tt.level, tt.opt); got != tt.want {
							t.Errorf("%s, socket %d: got %d, %v, want %d", s.name, i, got, err, tt.want)
						}
						return nil
					})
				}
			}
		})
	}
}

// A socket asks for Fast Open before it connects, or not at all.
func TestFastOpen(t *testing.T) {
	h := newHost(t)
	server, client := h.pair("listen 80\naccept", "set fastopen\nconnect server:80")
	client.ok()
	server.ok()
	client.Runner.sockets[0].control(func(fd int) error {
		if got, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT); got != 1 {
			t.Errorf("got %d, %v, want 1", got, err)
		}
		return nil
	})
	h.start("client", "connect server:80\nset fastopen").fails("line 2: set fastopen: EINVAL")
}

func TestCongestionControl(t *testing.T) {
	h := newHost(t)
	for _, tt := range []struct{ text, want string }{
		{"listen 80", "cubic"},
		{"set congestion reno\nlisten 81", "reno"},
	} {
		s := h.start("server", tt.text)
		s.ok()
		s.Runner.sockets[0].control(func(fd int) error {
			got, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
			if strings.TrimRight(got, "\x00") != tt.want {
				t.Errorf("%s: got %s, %v, want %s", tt.text, got, err, tt.want)
			}
			return nil
		})
	}
	h.start("server", "set congestion none-such\nlisten 82").fails("line 2: listen 82: ENOENT")
}

func TestDeferAccept(t *testing.T) {
	h := newHost(t)
	server, client := h.pair("set defer-accept 5s\nlisten 80\naccept\nrecv-text x", "connect server:80\nsleep 1s\nsend x")
	client.at(Sleeping, "sleep 1s")
	server.at(Blocked, "accept") // established, but nothing has come
	client.ok()
	server.ok()
}

// A dead peer, found by keepalive while idle and by the user timeout with data
// on the way.
func TestTimeouts(t *testing.T) {
	for name, tt := range map[string]struct{ before, after string }{
		"keepalive":    {"set keepalive 1s/1s/1", "recv 1"},
		"user timeout": {"set user-timeout 500ms", "send lost\nexpect-error ETIMEDOUT\nrecv 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			server := h.start("server", "listen 80\naccept")
			server.listens()
			text := tt.before + "\nconnect server:80\nsleep 1s\n" + tt.after
			if name == "keepalive" {
				text = strings.Replace(text, "recv 1", "expect-error ETIMEDOUT\nrecv 1", 1)
			}
			client := h.start("client", text)
			client.at(Sleeping, "sleep 1s")
			h.cut()
			client.ok()
		})
	}
}

// What a script leaves open stays open, and its peer's state with it.
func TestSocketsOutliveTheScript(t *testing.T) {
	h := newHost(t)
	server, client := h.pair("listen 80\naccept", "connect server:80\nshutdown")
	client.ok()
	server.ok()
	client.in("FIN_WAIT_2")
	server.in("LISTEN", "CLOSE_WAIT")
	client.Kill()
	server.Kill()
	client.in()
	server.in()
}

func TestCancelEndsEveryWait(t *testing.T) {
	for _, command := range []string{"recv 1", "recv eof", "send 100MiB bytes", "accept", "connect server:80", "sleep 1h"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			listener := h.start("listener", "listen 80 backlog 0\nconnect client:80")
			listener.ok() // its queue is full now: another connect waits
			_, client := h.pair("listen 81\naccept", "listen 82\nconnect server:81\n"+command)
			phase := Blocked
			if command == "sleep 1h" {
				phase = Sleeping
			}
			client.at(phase, command)
			before := client.states()
			client.cancel()
			if err := client.wait(); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if after := client.states(); !reflect.DeepEqual(after, before) {
				t.Errorf("sockets were %v, are %v", before, after)
			}
			if n := len(client.failures); n != 0 {
				t.Errorf("failures: %v", client.failures)
			}
		})
	}
}

func TestRunsOnce(t *testing.T) {
	var r Runner
	s := parse(t, "sleep 0s")
	if err := r.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context(), s); err == nil {
		t.Error("a second Run worked")
	}
}

func TestEnterFails(t *testing.T) {
	r := Runner{Enter: func(func() error) error { return errors.New("namespace is gone") }}
	err := r.Run(t.Context(), parse(t, "listen 80"))
	f, ok := errors.AsType[*Failure](err)
	if !ok || f.Name != Other || err.Error() != "line 1: listen 80: namespace is gone" {
		t.Errorf("got %v, %+v", err, f)
	}
}

func TestProgress(t *testing.T) {
	h := newHost(t)
	start := time.Now()
	s := h.start("server", "sleep 100ms\nlisten 80\naccept\nrecv 1")
	s.at(Sleeping, "sleep 100ms")
	p := s.Progress()[0]
	if d := p.Until.Sub(p.Since); d != 100*time.Millisecond || p.Since.Before(start) {
		t.Errorf("sleeping: %+v", p)
	}
	s.at(Blocked, "accept")
	if p := s.Progress()[0]; p.Line != 3 || !p.Until.IsZero() || p.Since.Sub(start) < 100*time.Millisecond {
		t.Errorf("blocked: %+v", p)
	}
	c := h.start("client", "connect server:80\nclose")
	c.ok()
	s.fails("line 4: recv 1: EOF")
	if p := s.Progress()[0]; p.Phase != Finished || p.Line != 4 || p.Err == nil || p.Err.Error() != "line 4: recv 1: EOF" {
		t.Errorf("finished: %+v", p)
	}
	if got := p.Phase.String() + Phase(0).String(); got != "sleepingunknown" {
		t.Errorf("names: %s", got)
	}
}

// A hundred copies that all wait need no thread each.
func TestManyScripts(t *testing.T) {
	const copies = 100
	h := newHost(t)
	server := h.startServer("server", "listen 80\naccept\nrecv-text hi\nsleep 100ms\nsend ok\nrecv eof\nclose", copies)
	server.listens()
	script := parse(t, "connect server:80\nsend hi\nrecv-text ok\nclose")
	clients := make([]*side, copies)
	for i := range clients {
		clients[i] = h.side("client " + strconv.Itoa(i))
		clients[i].run(func() error { return clients[i].Run(t.Context(), script) })
	}
	clients[copies-1].at(Blocked, "recv-text ok")
	if n := threads(t); n > 50 {
		t.Errorf("%d threads", n)
	}
	for _, c := range clients {
		c.ok()
	}
	server.ok()
	if n := len(server.Progress()); n != copies+1 {
		t.Errorf("%d statuses", n)
	}
}

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}
