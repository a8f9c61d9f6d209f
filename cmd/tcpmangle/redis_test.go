package main

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// redis starts a Redis on a host, and returns when it serves at an address.
func redis(t *testing.T, host *netns.NS, at netip.AddrPort) {
	t.Helper()
	needRoot(t)
	for _, program := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(program); err != nil {
			lacking(t, "TCPMANGLE_REQUIRE_INCIDENTS", err.Error())
		}
	}
	cmd := exec.CommandContext(t.Context(), "redis-server", "--bind", at.Addr().String(), "--port", fmt.Sprint(at.Port()),
		"--save", "", "--dir", t.TempDir(), "--protected-mode", "no")
	on(t, host, cmd)
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		c, err := nstest.Dial(host, at)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// incr counts on a connection to Redis that it has to itself; no number may be missing or come twice.
func incr(c net.Conn, replies *bufio.Reader, want int) error {
	if _, err := fmt.Fprint(c, "INCR n\r\n"); err != nil {
		return err
	}
	line, err := replies.ReadString('\n')
	if err == nil && line != fmt.Sprintf(":%d\r\n", want) {
		err = fmt.Errorf("the answer is %q, want %d", line, want)
	}
	return err
}

// redis-cli in front of a fault: the answer comes again, after the server's timeout.
func TestRedisCLIThroughAFault(t *testing.T) {
	host := nstest.New(t)
	redis(t, host, netip.MustParseAddrPort("127.0.0.1:6379"))
	rules := written(t, "answer.toml", `
[[rule]]
name   = "lose-the-answer"
match  = { port = 6379, from = "server", segment = "data" }
nth    = 1
action = "drop"

[[expect]]
rule  = "lose-the-answer"
fired = 1
`)
	o := finishOn(t, host, executing(t, []string{"-f", rules}, "redis-cli", "-h", inline.HostName, "ping"))
	o.wants(t, 0)
	if o.stdout != "PONG\n" {
		t.Errorf("redis-cli said %q", o.stdout)
	}
	has(t, "report", o.stderr, "PASS  rule lose-the-answer fired 1  (at ")
}

// A Redis that listens at 127.0.0.1 behind an address of ours; a reset that it never sent.
func TestRedisBehindAProxy(t *testing.T) {
	host := nstest.New(t)
	redis(t, host, netip.MustParseAddrPort("127.0.0.1:6379"))
	rules := written(t, "reset.toml", `
[[rule]]
name       = "reset-the-second"
match      = { port = 6379, connection = 2, from = "client", segment = "data" }
action     = { reset = "client" }
`)
	args, api := runArgs(t, "-f", rules, "--proxy", "198.18.0.2:6379=127.0.0.1:6379")
	s := stand(t, host, command(t, args...))
	first := finishOn(t, host, exec.Command("redis-cli", "-h", "198.18.0.2", "ping"))
	if first.stdout != "PONG\n" {
		t.Errorf("redis-cli said %q and %q", first.stdout, first.stderr)
	}
	second := finishOn(t, host, exec.Command("redis-cli", "-h", "198.18.0.2", "ping"))
	if !strings.Contains(second.stdout+second.stderr, "Connection reset by peer") {
		t.Errorf("redis-cli said %q and %q", second.stdout, second.stderr)
	}
	if r, err := api.Rule(t.Context(), "reset-the-second"); err != nil || r.Fired == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	s.end(t, syscall.SIGTERM).wants(t, 0)
}

// A connection that is open before the box comes, through a black hole and after it has gone.
func TestRedisIsAttachedTo(t *testing.T) {
	host, elsewhere := nstest.New(t), nstest.New(t)
	of4, _ := nstest.Wire(t, 0, elsewhere, host)
	at := netip.AddrPortFrom(of4, 6379)
	redis(t, host, at)
	c := meet(t, elsewhere, at)
	replies := bufio.NewReader(c)
	n := 0
	count := func(times int) error {
		for range times {
			n++
			if err := incr(c, replies, n); err != nil {
				return err
			}
		}
		return nil
	}
	nstest.Must(t, count(10))
	before := nstest.Face(t, host)
	args, api := runArgs(t, "--port", "6379")
	s := stand(t, host, command(t, args...))
	nstest.Must(t, count(10))
	conns, err := api.Connections(t.Context(), client.Filter{Port: "6379"})
	if err != nil || len(conns) != 1 {
		t.Fatalf("connections %+v, %v", conns, err)
	}
	_, err = api.Act(t.Context(), conns[0].Conn, client.Blackhole("both"))
	nstest.Must(t, err)
	counted := make(chan error, 1)
	go func() { counted <- count(10) }()
	select {
	case err := <-counted:
		t.Errorf("an answer came through the black hole: %v", err)
	case <-time.After(300 * time.Millisecond): // more than one timeout of TCP
	}
	nstest.Must(t, api.Heal(t.Context()))
	nstest.Must(t, <-counted)
	s.end(t, syscall.SIGTERM).wants(t, 0)
	nstest.SameFace(t, host, before)
	nstest.Must(t, count(10))
}
