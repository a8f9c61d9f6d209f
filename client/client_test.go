package client

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

func TestSplitAddress(t *testing.T) {
	for _, row := range []struct{ in, network, where, err string }{
		{in: "/run/tcpmangle.sock", network: "unix", where: "/run/tcpmangle.sock"},
		{in: "./api.sock", network: "unix", where: "./api.sock"},
		{in: "unix:api.sock", network: "unix", where: "api.sock"},
		{in: "unix:///run/x.sock", network: "unix", where: "/run/x.sock"},
		{in: "127.0.0.1:8475", network: "tcp", where: "127.0.0.1:8475"},
		{in: "tcp:[::1]:8475", network: "tcp", where: "[::1]:8475"},
		{in: "http://localhost:8475/", network: "tcp", where: "localhost:8475"},
		{in: "", err: "no address"},
		{in: "unix:", err: "no address"},
		{in: "localhost", err: "no address"},
		{in: "http://localhost", err: "no address"},
		{in: "http://localhost:1/v1", err: "is not like"},
	} {
		network, where, err := SplitAddress(row.in)
		if network != row.network || where != row.where || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("%q: %q %q %v", row.in, network, where, err)
		}
	}
}

func TestDefaultAddress(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", "/run/tcpmangle:/run/other")
	if got := DefaultAddress(); got != "/run/tcpmangle/tcpmangle.sock" {
		t.Errorf("below systemd: %s", got)
	}
	t.Setenv("RUNTIME_DIRECTORY", "")
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	want := "/run/user/1000/tcpmangle.sock"
	if syscall.Geteuid() == 0 {
		want = "/run/tcpmangle.sock"
	}
	if got := DefaultAddress(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Who calls without an address finds the systemd unit's instance, unless there is one of his own.
func TestInstanceAddress(t *testing.T) {
	folder := t.TempDir()
	systemFolder = folder
	t.Cleanup(func() { systemFolder = "/run" })
	t.Setenv("RUNTIME_DIRECTORY", "")
	t.Setenv("XDG_RUNTIME_DIR", folder)
	t.Setenv(EnvAddress, "")
	own, unit := folder+"/tcpmangle.sock", folder+"/tcpmangle/tcpmangle.sock"
	finds := func(want string) {
		t.Helper()
		if c, err := New(""); err != nil || c.Address() != want {
			t.Errorf("%+v, %v; want %s", c, err, want)
		}
	}
	finds(own)
	if err := errors.Join(os.Mkdir(folder+"/tcpmangle", 0o755), os.WriteFile(unit, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	finds(unit)
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	finds(own)
}

// However an instance ends, that is the end of a stream of events, and not an error; what is no event is one.
func TestEventsEnd(t *testing.T) {
	const line = `{"t":1,"type":"open","conn":1}` + "\n"
	for name, row := range map[string]struct {
		answer func(net.Conn)
		seen   int
		failed bool
	}{
		"in order":            {func(c net.Conn) { fmt.Fprintf(c, "%x\r\n%s\r\n0\r\n\r\n", len(line), line) }, 1, false},
		"killed":              {func(c net.Conn) { fmt.Fprintf(c, "%x\r\n%s\r\n", len(line), line) }, 1, false},
		"killed in an event":  {func(c net.Conn) { fmt.Fprintf(c, "%x\r\n%s", len(line), line[:9]) }, 0, false},
		"killed with a reset": {func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }, 0, false},
		"of another server":   {func(c net.Conn) { fmt.Fprint(c, "7\r\n<html>\n\r\n") }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			heads := make(chan struct{})
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				http.ReadRequest(bufio.NewReader(conn))
				fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				<-heads // a reset would overtake it
				row.answer(conn)
			}()
			c, err := New(l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			events, err := c.Events(t.Context(), EventFilter{})
			if err != nil {
				t.Fatal(err)
			}
			close(heads)
			seen, failed := 0, false
			for _, err := range events {
				if failed = err != nil; !failed {
					seen++
				}
			}
			if seen != row.seen || failed != row.failed {
				t.Errorf("%d events, an error: %v", seen, failed)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{`1.5`: 1500 * time.Millisecond, `"1m30s"`: 90 * time.Second, `0`: 0, `null`: 0, `68.719`: 68719 * time.Millisecond} {
		var d Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{`"10"`, `true`, `[1]`, `"soon"`} {
		var d Duration
		if err := json.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s is read as %v", text, d)
		}
	}
	if out, err := json.Marshal(Duration(1500 * time.Microsecond)); string(out) != "0.0015" || err != nil {
		t.Errorf("%s, %v", out, err)
	}
}

// Who reaches nobody is told where nobody was.
func TestNotRunning(t *testing.T) {
	path := nstest.Socket(t)
	c, err := New(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Version(t.Context())
	if _, ok := errors.AsType[*NotRunning](err); !ok || !errors.Is(err, syscall.ENOENT) ||
		err.Error() != "no instance of tcpmangle answers at "+path+": connect: no such file or directory" {
		t.Errorf("%v", err)
	}
}

// What answers need not be one of ours.
func TestForeignAnswers(t *testing.T) {
	for _, row := range []struct {
		status int
		body   string
		want   string
	}{
		{502, "<html>", "unexpected answer: 502 Bad Gateway"},
		{404, `{"error":"none","status":200}`, "none"},
		{200, "<html>", "read the answer: invalid character '<' looking for beginning of value"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(row.status)
			_, _ = w.Write([]byte(row.body))
		}))
		c, err := New(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Rules(t.Context())
		if err == nil || err.Error() != row.want || row.status != 200 && !IsStatus(err, row.status) {
			t.Errorf("%d %s: %v", row.status, row.body, err)
		}
		c.Close()
		s.Close()
	}
}
