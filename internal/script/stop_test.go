package script

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestKillEndsEveryWait(t *testing.T) {
	for _, command := range []string{"recv 1", "send 100MiB bytes", "accept", "sleep 1h"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			_, client := h.pair("listen 81\naccept\nsleep 1h", "listen 82\nconnect server:81\n"+command)
			phase := Blocked
			if command == "sleep 1h" {
				phase = Sleeping
			}
			client.at(phase, command)
			client.Kill()
			if err := client.wait(); err != ErrKilled {
				t.Errorf("got %v", err)
			}
			client.in()
			client.Kill() // again does nothing
			if n := len(client.failures); n != 0 {
				t.Errorf("failures: %v", client.failures)
			}
		})
	}
}

// What the peer of a killed script sees: FIN, or RST if data was left unread.
func TestKillIsProcessDeath(t *testing.T) {
	for _, tt := range []struct{ name, server, client string }{
		{"FIN", "listen 80\naccept\nsend hi", "connect server:80\nrecv 2\nrecv eof"},
		{"RST with unread data", "listen 80\naccept\nsend hi", "connect server:80\nrecv 2\nsend unread\nexpect-error ECONNRESET\nrecv eof"},
		{"no waiting for linger", "listen 80\naccept\nset linger 30s\nsend hi", "connect server:80\nrecv 2\nrecv eof"},
		{"RST with linger 0s", "listen 80\naccept\nset linger 0s\nsend hi", "connect server:80\nrecv 2\nexpect-error ECONNRESET\nrecv eof"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			server, client := h.pair(tt.server, tt.client)
			server.ok()
			client.at(Blocked, "recv eof")
			start := time.Now()
			server.Kill()
			if d := time.Since(start); d > 20*time.Second { // not the 30 of linger
				t.Errorf("Kill took %v", d)
			}
			client.ok()
		})
	}
}

func TestKillDoesNotLingerOnACutLink(t *testing.T) {
	h := newHost(t)
	_, client := h.pair("listen 80\naccept", "connect server:80\nset linger 30s\nsleep 1s\nsend lost")
	client.at(Sleeping, "sleep 1s")
	h.cut()
	client.ok()
	start := time.Now()
	client.Kill()
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("Kill took %v", d)
	}
}

func TestKillBeforeRun(t *testing.T) {
	h := newHost(t)
	s := h.side("server")
	s.Kill()
	if err := s.Run(t.Context(), parse(t, "listen 80")); err != ErrKilled {
		t.Errorf("got %v", err)
	}
	s.in()
}

// A Kill at any moment leaves no socket behind.
func TestKillAtAnyMoment(t *testing.T) {
	h := newHost(t)
	server := h.startServer("server", "listen 80\naccept\nrecv eof\nclose", 0)
	server.listens()
	script := parse(t, strings.Repeat("connect server:80\nsend x\nclose\n", 50))
	for i := range 50 {
		s := h.side("client")
		s.run(func() error { return s.Run(t.Context(), script) })
		time.Sleep(time.Duration(i) * 50 * time.Microsecond)
		s.Kill()
		if err := s.wait(); err != nil && err != ErrKilled {
			t.Fatalf("after %d: %v", i, err)
		}
		s.in()
	}
}

// Power loss: the peer hears nothing, whatever the state.
func TestVanish(t *testing.T) {
	for _, tt := range []struct {
		name           string
		server, client string
		gone           string // state of the server's connection as it vanishes
		stays          string // state of the client's, before and after
	}{
		{"established", "listen 80\naccept", "connect server:80\nrecv eof", "ESTABLISHED", "ESTABLISHED"},
		{"with unread data", "listen 80\naccept", "connect server:80\nsend unread", "ESTABLISHED", "ESTABLISHED"},
		{"with linger 0s", "listen 80\naccept\nset linger 0s", "connect server:80\nrecv eof", "ESTABLISHED", "ESTABLISHED"},
		{"while it waits", "listen 80\naccept\nrecv 1", "connect server:80\nrecv eof", "ESTABLISHED", "ESTABLISHED"},
		{"half-closed by it", "listen 80\naccept\nshutdown", "connect server:80\nrecv eof", "FIN_WAIT_2", "CLOSE_WAIT"},
		{"half-closed by its peer", "listen 80\naccept\nrecv eof", "connect server:80\nshutdown\nrecv eof", "CLOSE_WAIT", "FIN_WAIT_2"},
		{"not accepted yet", "listen 80", "connect server:80\nrecv eof", "", "ESTABLISHED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			server, client := h.pair(tt.server, tt.client)
			client.in(tt.stays)
			if tt.gone != "" {
				server.in("LISTEN", tt.gone)
			}
			if err := server.Vanish(); err != nil {
				t.Fatal(err)
			}
			server.in()
			time.Sleep(50 * time.Millisecond) // for what must not come
			client.in(tt.stays)
		})
	}
}

// Without the right to it nothing vanishes, and nothing is sent either.
func TestVanishWithoutTheRight(t *testing.T) {
	h := newHost(t)
	server, client := h.pair("listen 80\naccept", "connect server:80\nrecv eof")
	server.ok()
	var err error
	asNobody(t, func() { err = server.Vanish() })
	e, ok := errors.AsType[*SocketError](err)
	if !ok || !errors.Is(e, unix.EPERM) || e.Local != server.sockets[1][0] || e.Remote != server.sockets[1][1] {
		t.Errorf("got %v", err)
	}
	server.in("ESTABLISHED")
	client.in("ESTABLISHED")
	server.Kill()
	client.ok() // EOF, as of a process that died
}

// asNobody runs f on a thread without capabilities, which then dies.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		err := unix.Capset(&header, &none[0])
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// The next thing the peer of a vanished host sends is answered by RST.
func TestPeerOfTheVanishedFindsOut(t *testing.T) {
	h := newHost(t)
	gate := h.start("gate", "listen 81\naccept")
	gate.listens()
	server, client := h.pair("listen 80\naccept",
		"connect server:80\nconnect server:81\nrecv eof\nclose\nsend hello\nexpect-error ECONNRESET\nrecv 1\nclose")
	server.ok()
	gate.ok()
	if err := server.Vanish(); err != nil {
		t.Fatal(err)
	}
	gate.Kill() // now the client goes on
	client.ok()
}

// In SYN_SENT there is a peer that may not even exist.
func TestVanishWhileConnecting(t *testing.T) {
	h := newHost(t)
	full := h.start("server", "listen 80 backlog 0\nconnect client:80")
	full.ok()
	client := h.start("client", "connect server:80")
	client.at(Blocked, "connect server:80")
	client.in("SYN_SENT")
	if err := client.Vanish(); err != nil {
		t.Fatal(err)
	}
	if err := client.wait(); err != ErrKilled {
		t.Errorf("got %v", err)
	}
	client.in()
}

func TestRunServer(t *testing.T) {
	h := newHost(t)
	server := h.startServer("server", "listen 80\naccept\nrecv 1\nsend ok\nrecv eof\nclose", 3)
	server.listens()
	for _, text := range []string{ // the second does not read its whole answer: reset by its close
		"connect server:80\nsend a\nrecv-text ok\nclose",
		"connect server:80\nsend b\nrecv 1\nclose",
		"connect server:80\nsend c\nrecv-text ok\nclose",
	} {
		h.start("client", text).ok()
	}
	server.fails("line 5: recv eof: ECONNRESET")
	if f := server.failures; len(f) != 1 || f[0].Conn != 2 {
		t.Errorf("failures: %+v", f)
	}
	told := strings.Join(server.told(), "\n")
	for _, want := range []string{`#1 recv 1: 1 byte "a"`, "#2 recv eof: ECONNRESET", "#3 close"} {
		if !strings.Contains(told, want) {
			t.Errorf("no line %q in\n%s", want, told)
		}
	}
	for _, p := range server.Progress() {
		if p.Phase != Finished || (p.Err != nil) != (p.Conn == 2) {
			t.Errorf("progress: %+v", p)
		}
	}
}

// Connections are served side by side: the second ends while the first waits.
func TestRunServerServesAtOnce(t *testing.T) {
	h := newHost(t)
	server := h.startServer("server", "listen 80\naccept\nrecv eof\nclose", 2)
	server.listens()
	slow := h.start("slow", "connect server:80\nsleep 1h")
	slow.at(Sleeping, "sleep 1h")
	h.start("quick", "connect server:80\nshutdown\nrecv eof\nclose").ok()
	slow.Kill()
	server.ok()
}

func TestRunServerUntilCancelled(t *testing.T) {
	h := newHost(t)
	server := h.startServer("server", "listen 80\naccept\nrecv eof\nclose", 0)
	server.listens()
	for range 3 {
		h.start("client", "connect server:80\nshutdown\nrecv eof").ok()
	}
	h.start("client", "connect server:80").ok()
	until(t, "four served", func() bool { return len(server.Progress()) == 5 })
	server.cancel()
	if err := server.wait(); !errors.Is(err, context.Canceled) || err.Error() != "context canceled" {
		t.Errorf("got %v", err)
	}
	server.in("LISTEN", "ESTABLISHED") // as they were
}

func TestRunServerRefuses(t *testing.T) {
	const want = "a script that serves several connections has one accept, and expects no error of it"
	for _, tt := range []struct{ text, line string }{
		{"listen 80\naccept\naccept", "line 3: "},
		{"listen 80\nexpect-error EMFILE\naccept", "line 3: "},
	} {
		err := new(Runner).RunServer(t.Context(), parse(t, tt.text), 2)
		if err == nil || err.Error() != tt.line+want {
			t.Errorf("%q: got %v", tt.text, err)
		}
	}
}

// The served part owns its connection and nothing else.
func TestRunServerCannotCloseTheListener(t *testing.T) {
	h := newHost(t)
	server := h.startServer("server", "listen 80\naccept\nclose\nclose", 2)
	server.listens()
	for range 2 {
		h.start("client", "connect server:80\nrecv eof\nclose").ok()
	}
	server.fails("line 4: close: EBADF\nline 4: close: EBADF")
	server.in("LISTEN")
}
