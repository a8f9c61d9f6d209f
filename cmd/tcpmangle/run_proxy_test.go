package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/lab"
)

// Where upstreams are, and what is listened at: the upstream decides on the IP version, and no
// address is the loopback.
func TestResolve(t *testing.T) {
	for _, row := range []struct{ listen, upstream, wantListen, wantUpstream string }{
		{"", "127.0.0.1:6379", "", "127.0.0.1:6379"},
		{"", ":6379", "", "127.0.0.1:6379"},
		{"", "0.0.0.0:6379", "", "127.0.0.1:6379"},
		{"", "[::]:6379", "", "[::1]:6379"},
		{":26379", "127.0.0.1:6379", "0.0.0.0:26379", "127.0.0.1:6379"},
		{":26379", "[::1]:6379", "[::]:26379", "[::1]:6379"},
		{"[::1]:0", "[2001:db8::1]:6379", "[::1]:0", "[2001:db8::1]:6379"},
	} {
		s, err := resolve(t.Context(), lab.Proxy{Listen: row.listen, Upstream: row.upstream})
		nstest.Must(t, err)
		listen := ""
		if s.Listen.IsValid() {
			listen = s.Listen.String()
		}
		if listen != row.wantListen || s.Upstream != netip.MustParseAddrPort(row.wantUpstream) {
			t.Errorf("%+v: at %s to %v", row, listen, s.Upstream)
		}
	}
}

// A --proxy that is not one says which part of it is wrong.
func TestCutProxy(t *testing.T) {
	for _, row := range []struct{ text, wrong string }{
		{"198.18.0.2:6379=127.0.0.1:6379", ""},
		{"[fd79:0:0:18::2]:1=[::1]:http", ""},
		{"localhost:0=db.example.com:5432", ""},
		{":6379=:6380", ""},
		{"198.18.0.2:6379", `there is no "=" between ADDRESS and UPSTREAM`},
		{"198.18.0.2=127.0.0.1:6379", `ADDRESS "198.18.0.2" has no port`},
		{"198.18.0.2:=127.0.0.1:6379", `ADDRESS "198.18.0.2:" has no port`},
		{"[fd00::1]=[::1]:1", `ADDRESS "[fd00::1]" has no port`},
		{"=127.0.0.1:6379", `ADDRESS "" has no port`},
		{"198.18.0.2:70000=127.0.0.1:6379", `ADDRESS: port "70000" is not one of 1 to 65535`},
		{"198.18.0.2:6379=127.0.0.1", `UPSTREAM "127.0.0.1" has no port`},
		{"198.18.0.2:6379=127.0.0.1:x", `UPSTREAM: port "x" is not one of 1 to 65535`},
		{"198.18.0.2:6379=::1", `UPSTREAM "::1": an IPv6 address stands in brackets, and a port behind it`},
		{"198.18.0.2:6379=a:b:c", `UPSTREAM "a:b:c" is not HOST:PORT`},
		{"redis:6379=127.0.0.1:6379", `ADDRESS "redis" is a name; it has to be an IP address, or localhost`},
	} {
		said := ""
		if _, err := cutProxy(row.text); err != nil {
			said = err.Error()
		}
		if said != row.wrong {
			t.Errorf("%s: %q, want %q", row.text, said, row.wrong)
		}
	}
}

// Proxies that cannot be, each a wrong call, and one that takes an address from somebody.
func TestRunRefusesProxies(t *testing.T) {
	needRoot(t)
	host, router := nstest.New(t), nstest.New(t)
	nstest.Wire(t, 0, host, router)
	nstest.Must(t, host.AddRoute(netip.MustParsePrefix("198.19.0.0/16"), "eth0"))
	before := nstest.Face(t, host)
	for _, row := range []struct {
		proxies []string
		said    string
	}{
		{[]string{"198.18.0.2:6379=127.0.0.1"}, "tcpmangle: --proxy 198.18.0.2:6379=127.0.0.1: UPSTREAM \"127.0.0.1\" has no port\nhint: --proxy 198.18.0.2:6379=127.0.0.1:6379\n"},
		{[]string{"198.18.0.2:1=[::1]:1"}, "tcpmangle: proxy 198.18.0.2:1=[::1]:1: [::1]:1 is not IPv4, as the other end is\n"},
		{[]string{"198.18.0.2:1=198.18.0.2:1"}, "tcpmangle: proxy 198.18.0.2:1=198.18.0.2:1: upstream 198.18.0.2:1 leads to the box itself; an upstream is where a service listens\n"},
		{[]string{"198.18.0.2:1=127.0.0.1:2", "198.18.0.2:1=127.0.0.1:3"}, "tcpmangle: proxy 198.18.0.2:1=127.0.0.1:3: 198.18.0.2:1 leads already to 127.0.0.1:2\n"},
		{[]string{"127.0.0.1:1=127.0.0.1:2", "127.0.0.1:1=127.0.0.1:3"}, "tcpmangle: proxy 127.0.0.1:1=127.0.0.1:3: 127.0.0.1:1 leads already to 127.0.0.1:2: address already in use\n"},
	} {
		args, _ := runArgs(t)
		for _, p := range row.proxies {
			args = append(args, "--proxy", p)
		}
		o := finishOn(t, host, command(t, args...))
		o.wants(t, 2)
		if o.stderr != row.said {
			t.Errorf("%v: said\n%swant\n%s", row.proxies, o.stderr, row.said)
		}
	}
	args, _ := runArgs(t, "--proxy", "10.79.0.2:1=127.0.0.1:1", "--proxy", "10.79.0.2:2=127.0.0.1:1", "--proxy", "198.51.100.1:1=127.0.0.1:1")
	cmd := command(t, args...)
	pipe, err := cmd.StderrPipe()
	nstest.Must(t, err)
	on(t, host, cmd)
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	s := &standing{Cmd: cmd, stderr: bufio.NewReader(pipe)}
	s.await(t, "tcpmangle: notice: 198.19.0.0/16, which is reached by eth0, leads to the box with all of its ports while we run\n")
	s.await(t, "tcpmangle: notice: 10.79.0.2, which is reached by eth0, leads to the box with all of its ports while we run\n")
	if line, err := s.stderr.ReadString('\n'); err != nil || !strings.HasPrefix(line, "tcpmangle: inline ") {
		t.Errorf("then it said %q, %v", line, err)
	}
	s.end(t, syscall.SIGTERM).wants(t, 0)
	nstest.SameFace(t, host, before)
}

// A signal ends the search for a name, of a call's proxy and of one that Toxiproxy's API makes, and
// everything is as it was.
func TestSignalEndsLookups(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	before := nstest.Face(t, host)
	var silent net.PacketConn
	nstest.Must(t, host.Do(func() (err error) {
		silent, err = net.ListenPacket("udp", "127.0.0.53:53")
		return err
	}))
	defer silent.Close()
	const slow = "198.18.0.2:1=nobody-answers.test:1"
	asked := func() {
		t.Helper()
		nstest.Must(t, silent.SetDeadline(time.Now().Add(time.Minute)))
		_, _, err := silent.ReadFrom(make([]byte, 1500))
		nstest.Must(t, err)
	}
	looking := func(args ...string) *exec.Cmd {
		cmdline, _ := runArgs(t, args...)
		cmd := command(t, cmdline...)
		patience := "nameserver 127.0.0.53\noptions timeout:30 attempts:5\n"
		cmd.Env = append(cmd.Env, testRole+"="+roleHost, resolvVar+"="+written(t, "resolv.conf", patience))
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		return cmd
	}
	cmd := looking("--proxy", slow)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	on(t, host, cmd)
	asked()
	began := time.Now()
	nstest.Must(t, cmd.Process.Signal(syscall.SIGINT))
	if status := statusOf(t, cmd.Wait()); status != 130 {
		t.Errorf("exit status %d", status)
	}
	if stderr.String() != "tcpmangle: interrupted before it was inline\n" {
		t.Errorf("it said %q", stderr.String())
	}

	s := stand(t, host, looking("--toxiproxy", "127.0.0.1:8474"))
	called := make(chan error, 1)
	go func() {
		c, err := nstest.Dial(host, netip.MustParseAddrPort("127.0.0.1:8474"))
		if err == nil {
			defer c.Close()
			body := `{"name":"slow","upstream":"nobody-answers.test:1"}`
			fmt.Fprintf(c, "POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			_, err = io.Copy(io.Discard, c)
		}
		called <- err
	}()
	asked()
	s.end(t, syscall.SIGTERM).wants(t, 0)
	nstest.Must(t, <-called)
	if took := time.Since(began); took > 29*time.Second { // one try of the resolver's
		t.Errorf("both took %v", took)
	}
	nstest.SameFace(t, host, before)
}
