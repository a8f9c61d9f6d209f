package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// unprotected lets a Redis serve others than those on its host's loopback.
var unprotected = []string{"--protected-mode", "no"}

// redis starts a Redis on a host, as it comes but for some flags, and returns when it serves at
// an address.
func redis(t *testing.T, host *netns.NS, at netip.AddrPort, flags ...string) {
	t.Helper()
	needRoot(t)
	program(t, "redis-cli")
	flags = append(flags, "--bind", at.Addr().String(), "--port", fmt.Sprint(at.Port()), "--save", "", "--dir", t.TempDir())
	serve(t, host, exec.Command(program(t, "redis-server"), flags...), at, syscall.SIGKILL)
}

// ask sends a command on a connection to Redis, and wants a line for it.
func ask(c net.Conn, replies *bufio.Reader, command, want string) error {
	if _, err := fmt.Fprint(c, command, "\r\n"); err != nil {
		return err
	}
	line, err := replies.ReadString('\n')
	if err == nil && line != want+"\r\n" {
		err = fmt.Errorf("the answer is %q, want %q", line, want)
	}
	return err
}

// redis-cli in front of a fault and a Redis in protected mode: the answer comes again, after the
// server's timeout.
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

// A Redis that listens at 127.0.0.1 behind an address of ours, as soon as it lets clients of others
// in; a reset that it never sent.
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
	first := finishOn(t, host, exec.Command("redis-cli", "config", "set", "protected-mode", "no"))
	first = finishOn(t, host, exec.Command("redis-cli", "-h", "198.18.0.2", "ping"))
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
	redis(t, host, at, unprotected...)
	c := meet(t, elsewhere, at)
	replies := bufio.NewReader(c)
	n := 0
	count := func(times int) error {
		for range times {
			n++
			if err := ask(c, replies, "INCR n", fmt.Sprintf(":%d", n)); err != nil { // none is missing or comes twice
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
	counted := make(chan error, 1)
	blackholed(t, api, connection(t, api, "6379").Conn, "both", func() {
		go func() { counted <- count(10) }()
	})
	if len(counted) > 0 {
		t.Error("answers came through the black hole")
	}
	nstest.Must(t, api.Heal(t.Context()))
	nstest.Must(t, <-counted)
	s.end(t, syscall.SIGTERM).wants(t, 0)
	nstest.SameFace(t, host, before)
	nstest.Must(t, count(10))
}

// A value of 32 MB on a connection that is open before the box comes, through black holes on
// either side and on both: every byte comes once and in order.
func TestRedisThroughBlackHoles(t *testing.T) {
	for _, row := range []struct {
		name  string
		v6    bool
		flags []string
	}{
		{"IPv4", false, nil},
		{"IPv6, two workers, one segment a read", true, []string{"--workers", "2", "--offload", "off"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			host, elsewhere := nstest.New(t), nstest.New(t)
			at, of6 := nstest.Wire(t, 0, elsewhere, host)
			if row.v6 {
				at = of6
			}
			getThroughBlackHoles(t, host, elsewhere, netip.AddrPortFrom(at, 6379), row.flags)
		})
	}
}

func getThroughBlackHoles(t *testing.T, host, elsewhere *netns.NS, at netip.AddrPort, flags []string) {
	const size, part = 32 << 20, 8 << 20
	value, got := make([]byte, size), make([]byte, size)
	rand.NewChaCha8([32]byte{7}).Read(value)
	copy(value[size-2:], "\r\n") // what ends it in an answer
	redis(t, host, at, unprotected...)
	c := meet(t, elsewhere, at)
	nstest.Must(t, c.SetReadBuffer(part/8)) // less than a part, or a hole would be no hindrance
	replies := bufio.NewReader(c)
	nstest.Must(t, ask(c, replies, fmt.Sprintf("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n%s", size-2, value[:size-2]), "+OK"))

	args, api := runArgs(t, append(flags, "--port", "6379")...)
	s := stand(t, host, command(t, args...))
	nstest.Must(t, ask(c, replies, "GET big", fmt.Sprintf("$%d", size-2)))
	conn, come := connection(t, api, "6379"), make(chan error, 1)
	if !conn.PickedUp {
		t.Errorf("%+v was not picked up", conn)
	}
	read := func(n int) {
		_, err := io.ReadFull(replies, got[n*part:(n+1)*part])
		come <- err
	}
	read(0) // and no further, so that there is something left for the holes
	nstest.Must(t, <-come)
	for i, from := range []string{"server", "client", "both"} {
		blackholed(t, api, conn.Conn, from, func() { go read(i + 1) })
		if len(come) > 0 {
			t.Errorf("%d MB came through a black hole for %s", part>>20, from)
		}
		nstest.Must(t, api.Heal(t.Context()))
		nstest.Must(t, <-come)
	}
	if !bytes.Equal(got, value) {
		t.Error("the value that came is another one")
	}
	nstest.Must(t, ask(c, replies, "PING", "+PONG"))
	s.end(t, syscall.SIGTERM).wants(t, 0)
}
