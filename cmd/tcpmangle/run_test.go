package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

const holeRules = `
[[rule]]
name    = "seen"
match   = { port = 7000, segment = "data" }
action  = { tag = "seen" }

[[rule]]
name    = "hole"
enabled = false
match   = { port = 7000 }
action  = "drop"

[[expect]]
rule  = "hole"
fired = ">= 1"
`

// runArgs are those of tcpmangle run with an API of its own, and a client for that.
func runArgs(t testing.TB, args ...string) (cmdline []string, api *client.Client) {
	t.Helper()
	socket := nstest.Socket(t)
	api, err := client.New(socket)
	nstest.Must(t, err)
	t.Cleanup(api.Close)
	return append([]string{"run", "--api", socket}, args...), api
}

// meet connects from a host to an echo, with a deadline.
func meet(t testing.TB, host *netns.NS, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := nstest.Dial(host, to)
	nstest.Must(t, err)
	t.Cleanup(func() { c.Close() })
	nstest.Must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}

// pings wants an echo of a number of bytes.
func pings(t testing.TB, c net.Conn) {
	t.Helper()
	reply := make([]byte, 4)
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, reply); err != nil || string(reply) != "ping" {
		t.Fatalf("the echo is %q, %v", reply, err)
	}
}

// pump sends numbers through an echo and wants them back, each once and in order, until it
// is told to stop. A few blocks are on their way at a time.
func pump(c *net.TCPConn, stop <-chan struct{}) error {
	const block, ahead = 8 << 10, 4
	room := make(chan struct{}, ahead)
	done := make(chan error, 1)
	go func() {
		w := make([]byte, block)
		for n := uint64(0); ; {
			for at := 0; at < block; at += 8 {
				binary.BigEndian.PutUint64(w[at:], n)
				n++
			}
			select {
			case <-stop:
				done <- c.CloseWrite()
				return
			case room <- struct{}{}:
			}
			if _, err := c.Write(w); err != nil {
				done <- err
				return
			}
		}
	}()
	r := make([]byte, block)
	for want := uint64(0); ; <-room {
		_, err := io.ReadFull(c, r)
		if errors.Is(err, io.EOF) {
			return <-done
		}
		if err != nil {
			return err
		}
		for at := 0; at < block; at += 8 {
			if got := binary.BigEndian.Uint64(r[at:]); got != want {
				return fmt.Errorf("number %d came in the place of %d", got, want)
			}
			want++
		}
	}
}

// A black hole on a connection that was open before anybody was inline, put on and healed
// by the API: every byte comes once and in order, and in the end all is as it was.
func TestRunAttached(t *testing.T) {
	needRoot(t)
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{false: "IPv4", true: "IPv6"}[v6], func(t *testing.T) { attachToEcho(t, v6) })
	}
}

func attachToEcho(t *testing.T, v6 bool) {
	host, elsewhere := nstest.New(t), nstest.New(t)
	of4, of6 := nstest.Wire(t, 0, elsewhere, host)
	to := netip.AddrPortFrom(of4, 7000)
	if v6 {
		to = netip.AddrPortFrom(of6, 7000)
	}
	echo(t, host, to.String())
	c := meet(t, elsewhere, to)
	pings(t, c)
	before := nstest.Face(t, host)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- pump(c, stop) }()

	args, api := runArgs(t, "-f", written(t, "hole.toml", holeRules), "--netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), host.FD()))
	s := stand(t, elsewhere, command(t, args...))
	has(t, "its line", s.said, ": port 7000 by mangle0 and mangle1; api ")
	ctx := t.Context()
	fires := func(rule string) {
		t.Helper()
		w, err := api.Wait(ctx, client.Condition{Rule: rule, Within: client.Duration(30 * time.Second)})
		if err != nil || !w.Met {
			t.Fatalf("%s: %+v, %v", rule, w, err)
		}
	}
	fires("seen")
	_, err := api.Enable(ctx, "hole")
	nstest.Must(t, err)
	fires("hole")
	conns, err := api.Connections(ctx, client.Filter{Port: "7000"})
	if err != nil || len(conns) != 1 || conns[0].ClientState != "ESTABLISHED" || conns[0].ServerState != "ESTABLISHED" {
		t.Errorf("connections %+v, %v", conns, err)
	}
	_, err = api.Disable(ctx, "hole")
	nstest.Must(t, err)
	pings(t, meet(t, elsewhere, to))
	o := s.end(t, syscall.SIGTERM)
	o.wants(t, 0)
	has(t, "report", o.stdout, "PASS  rule hole fired >=1  (at ", "rule \"seen\" fired ", "seed 1\n")
	nstest.SameFace(t, host, before)
	close(stop)
	nstest.Must(t, <-done)
}

// After kill -9 an open connection goes on, nothing but switches and rules that lead nowhere
// is left, and the next start clears them up.
func TestRunAttachedIsKilled(t *testing.T) {
	needRoot(t)
	host, elsewhere := nstest.New(t), nstest.New(t)
	of4, _ := nstest.Wire(t, 0, elsewhere, host)
	to := netip.AddrPortFrom(of4, 7000)
	echo(t, host, to.String())
	c := meet(t, elsewhere, to)
	before := nstest.Face(t, host)
	args, _ := runArgs(t, "-f", written(t, "hole.toml", holeRules))
	for range 3 {
		s := stand(t, host, command(t, args...)) // it sweeps after the one before
		has(t, "its line", s.said, "in this namespace: port 7000")
		pings(t, c)
		nstest.Must(t, s.Process.Kill())
		s.Wait()
		pings(t, c)
		pings(t, meet(t, elsewhere, to))
	}
	sweep := command(t, "doctor", "--sweep")
	o := finishOn(t, host, sweep)
	o.wants(t, 0)
	has(t, "doctor", o.stdout, "cleared up after ")
	nstest.SameFace(t, host, before)
	pings(t, c)
}

// Services behind addresses of ours: refusal is the kernel's, and the list is what was asked for.
func TestRunProxies(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	echo(t, host, "127.0.0.1:7000")
	before := nstest.Face(t, host)
	rules := written(t, "proxy.toml", `
[[proxy]]
name     = "echo"
address  = "198.18.0.7:7000"
upstream = "localhost:7000"

[[rule]]
name   = "slow"
match  = { server = "198.18.0.7", segment = "syn" }
action = { delay = "100ms" }
`)
	args, api := runArgs(t, "-f", rules, "--proxy", "127.0.0.1:17000=127.0.0.1:7000", "--proxy", "198.18.0.8:1=127.0.0.1:1")
	s := stand(t, host, command(t, args...))
	has(t, "its line", s.said, "198.18.0.7:7000 to localhost:7000, 127.0.0.1:17000 (198.18.0.2:7000) to 127.0.0.1:7000, 198.18.0.8:1 to 127.0.0.1:1")
	for address, quick := range map[string]bool{"198.18.0.7:7000": false, "127.0.0.1:17000": true} {
		began := time.Now()
		c := meet(t, host, netip.MustParseAddrPort(address))
		if took := time.Since(began); !quick && took < 100*time.Millisecond {
			t.Errorf("%s: connected in %v", address, took)
		}
		pings(t, c)
		nstest.Must(t, c.CloseWrite())
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("%s: after the end came %q, %v", address, rest, err)
		}
	}
	if _, err := nstest.Dial(host, netip.MustParseAddrPort("198.18.0.8:1")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a service that refuses: %v", err)
	}
	list, err := api.Rules(t.Context())
	if err != nil || len(list.Rules) != 1 || list.Rules[0].Fired == 0 {
		t.Errorf("rules %+v, %v", list, err)
	}
	s.end(t, syscall.SIGINT).wants(t, 0)
	nstest.SameFace(t, host, before)
}

// A box that is killed takes its addresses with it; they may be had again at once.
func TestRunProxiesIsKilled(t *testing.T) {
	needRoot(t)
	host, elsewhere := nstest.New(t), nstest.New(t)
	of4, _ := nstest.Wire(t, 0, host, elsewhere)
	echo(t, elsewhere, netip.AddrPortFrom(of4, 7000).String())
	before := nstest.Face(t, host)
	args, _ := runArgs(t, "--proxy", fmt.Sprintf(":17000=%v:7000", of4))
	at := netip.MustParseAddrPort("127.0.0.1:17000")
	for range 3 {
		s := stand(t, host, command(t, args...))
		pings(t, meet(t, host, at))
		nstest.Must(t, s.Process.Kill())
		s.Wait()
		if _, err := nstest.Dial(host, at); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("when the box is gone: %v", err)
		}
		onlySwitches(t, before, nstest.Face(t, host))
	}
	finishOn(t, host, command(t, "doctor", "--sweep")).wants(t, 0)
	nstest.SameFace(t, host, before)
}

// SIGHUP puts other rules in force; with a mistake in them nothing changes, and it says why.
func TestRunReloads(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	file := written(t, "r.toml", "[[rule]]\nname = \"one\"\nmatch = { port = 7000 }\naction = \"pass\"\n")
	args, api := runArgs(t, "-f", file)
	cmd := command(t, args...)
	notes := nstest.Socket(t)
	manager, err := net.ListenPacket("unixgram", notes)
	nstest.Must(t, err)
	defer manager.Close()
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notes)
	s := stand(t, host, cmd)
	noted := func(want string) {
		t.Helper()
		note := make([]byte, 100)
		nstest.Must(t, manager.SetReadDeadline(time.Now().Add(time.Minute)))
		if n, _, err := manager.ReadFrom(note); err != nil || !bytes.HasPrefix(note[:n], []byte(want)) {
			t.Errorf("the service manager heard %q, %v; want %q", note[:n], err, want)
		}
	}
	noted("READY=1")
	for _, row := range []struct{ text, said, rule string }{
		{"[[rule]]\nname = \"two\"\nmatch = { port = 7000 }\naction = \"pass\"\n", "tcpmangle: the rules are reloaded", "two"},
		{"[[rule]]\nname = \"three\"\nmatch = { prt = 7000 }\naction = \"pass\"\n", "tcpmangle: 1 mistake; the rules stay as they were", "two"},
		{"[[rule]]\nname = \"four\"\nmatch = { port = 7001 }\naction = \"pass\"\n", "tcpmangle: " + file + ":1: rule \"four\" is about port 7001", "two"},
	} {
		nstest.Must(t, os.WriteFile(file, []byte(row.text), 0o644))
		nstest.Must(t, s.Process.Signal(syscall.SIGHUP))
		s.await(t, row.said)
		noted("RELOADING=1\nMONOTONIC_USEC=")
		noted("READY=1")
		list, err := api.Rules(t.Context())
		if err != nil || len(list.Rules) != 1 || list.Rules[0].Name != row.rule {
			t.Errorf("rules %+v, %v; want %s", list, err, row.rule)
		}
	}
	s.end(t, syscall.SIGTERM).wants(t, 0)
	noted("STOPPING=1")
}

// A test suite that speaks Toxiproxy's API makes its proxies and breaks them.
func TestRunToxiproxy(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	echo(t, host, "127.0.0.1:7000")
	before := nstest.Face(t, host)
	args, _ := runArgs(t, "--toxiproxy", "127.0.0.1:0")
	s := stand(t, host, command(t, args...))
	_, at, _ := strings.Cut(strings.TrimSpace(s.said), "; toxiproxy ")
	web := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nstest.Dial(host, netip.MustParseAddrPort(at))
	}}}
	defer web.CloseIdleConnections()
	call := func(method, path, body string, status int) (proxy struct{ Listen string }) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://toxiproxy"+path, strings.NewReader(body))
		nstest.Must(t, err)
		answer, err := web.Do(req)
		nstest.Must(t, err)
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != status {
			t.Fatalf("%s %s: %d %s", method, path, answer.StatusCode, text)
		}
		json.Unmarshal(text, &proxy)
		return proxy
	}
	listen := netip.MustParseAddrPort(call("POST", "/proxies", `{"name":"echo","listen":"127.0.0.1:0","upstream":"localhost:7000"}`, 201).Listen)
	pings(t, meet(t, host, listen))
	call("POST", "/proxies/echo/toxics", `{"type":"latency","attributes":{"latency":200}}`, 200)
	began := time.Now()
	pings(t, meet(t, host, listen))
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("with 200 ms of latency an echo took %v", took)
	}
	call("DELETE", "/proxies/echo", "", 204)
	if _, err := nstest.Dial(host, listen); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a proxy that is no more: %v", err)
	}
	call("POST", "/proxies", `{"name":"taken","listen":"127.0.0.1:7000","upstream":"localhost:7000"}`, 500)
	s.end(t, syscall.SIGTERM).wants(t, 0)
	nstest.SameFace(t, host, before)
}

// Expectations that did not come true make the status.
func TestRunFails(t *testing.T) {
	needRoot(t)
	args, _ := runArgs(t, "-f", written(t, "hole.toml", holeRules), "--json")
	o := stand(t, nstest.New(t), command(t, args...)).end(t, syscall.SIGTERM)
	o.wants(t, 1)
	has(t, "report", o.stdout, `"verdict": "fail"`, `"text": "rule hole fired >=1"`)
}
