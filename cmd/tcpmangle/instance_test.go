package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/control"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
)

const instanceRules = `[[rule]]
name = "keep"
match = { port = 80, segment = "data" }
action = { hold = "release" }
[[rule]]
name = "never"
match = { port = 81 }
action = "drop"
`

// A running is an instance between two fake devices, in this process.
type running struct {
	t       *testing.T
	api     string
	devices [2]*tunneltest.Device
	port    uint16
	end     func()
}

func runInstance(t *testing.T) *running {
	t.Helper()
	near, far := tunneltest.Pair(t)
	load := func() (*rules.Set, error) { return rules.Parse("rules.toml", instanceRules) }
	set, err := load()
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engine.New(engine.Config{Devices: [2]tunnel.Device{near, far}, Rules: set})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- eng.Run(ctx) }()
	r := &running{t: t, api: nstest.Socket(t), devices: [2]*tunneltest.Device{near, far}, port: 4000}
	l, err := control.Listen(r.api)
	if err != nil {
		t.Fatal(err)
	}
	server := control.New(control.Config{Engine: eng, Book: control.NewBook(eng, set), Load: load})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	r.end = sync.OnceFunc(func() {
		server.Close()
		cancel()
		for _, c := range []chan error{served, done} {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(r.end)
	return r
}

// open opens a connection and lets its client send something.
func (r *running) open() {
	r.t.Helper()
	client, server := netip.AddrPortFrom(netip.MustParseAddr("10.77.1.1"), r.port), netip.MustParseAddrPort("10.77.2.1:80")
	r.port++
	for _, s := range []struct {
		side int
		wire.Build
	}{
		{0, wire.Build{Src: client, Dst: server, Seq: 1000, Flags: wire.SYN, Window: 65535}},
		{1, wire.Build{Src: server, Dst: client, Seq: 5000, Ack: 1001, Flags: wire.SYN | wire.ACK, Window: 65535}},
		{0, wire.Build{Src: client, Dst: server, Seq: 1001, Ack: 5001, Flags: wire.ACK, Window: 65535}},
		{0, wire.Build{Src: client, Dst: server, Seq: 1001, Ack: 5001, Flags: wire.ACK, Window: 65535, Payload: []byte("hello")}},
	} {
		r.devices[s.side].Send(tunnel.Header{}, s.Append(nil))
		if s.Payload != nil {
			return // it is held
		}
		if _, _, err := r.devices[1-s.side].Receive(10 * time.Second); err != nil {
			r.t.Fatal(err)
		}
	}
}

// does calls tcpmangle and wants a status; it returns what was printed, without times.
func (r *running) does(status int, args ...string) string {
	r.t.Helper()
	o := r.calls(status, args...)
	return timesIn.ReplaceAllString(o.stdout+o.stderr, "TIME")
}

// tells is does with --json, which it reads into v.
func (r *running) tells(v any, status int, args ...string) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.calls(status, append(args, "--json")...).stdout), v); err != nil {
		r.t.Error(err)
	}
}

func (r *running) calls(status int, args ...string) outcome {
	r.t.Helper()
	cmd := command(r.t, args...)
	cmd.Env = append(cmd.Env, client.EnvAddress+"="+r.api)
	o := finish(r.t, cmd)
	o.wants(r.t, status)
	return o
}

var timesIn = regexp.MustCompile(`\b([0-9]+[hm])*[0-9.]+(ms|s)\b|\b[0-9]+\.[0-9]{6}\b`)

// is compares texts.
func is(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestInstance(t *testing.T) {
	r := runInstance(t)
	r.open()
	is(t, r.does(0, "wait", "--rule", "keep"), "")
	is(t, r.does(0, "conns"), "1\t10.77.1.1:4000\tESTABLISHED\t10.77.2.1:80\tESTABLISHED\tTIME\tTIME\t1 held\t0 of 5\t0\n")
	is(t, r.does(0, "conns", "--port", "81"), "")
	is(t, r.does(2, "conns", "--port", "http"), "tcpmangle: port: \"http\" is not a number or range; write it like 5, \"2-4\" or \">=3\"\n")
	var conns []client.Connection
	if r.tells(&conns, 0, "conns"); len(conns) != 1 || conns[0].Conn != 1 {
		t.Errorf("%+v", conns)
	}
	is(t, r.does(0, "rules"), "keep\t1\tyes\t1\tfiles\thold\t\nnever\t0\tyes\t0\tfiles\tdrop\tno connection had port = 81\n")
	is(t, r.does(0, "rules", "release", "keep"), "keep\t1\tyes\t0\tfiles\thold\t\n")
	is(t, r.does(0, "rules", "disable", "keep"), "keep\t1\tno\t0\tfiles\thold\t\n")
	is(t, r.does(2, "rules", "enable", "kep"), "tcpmangle: there is no rule \"kep\"\n")
	is(t, r.does(1, "wait", "--rule", "never", "--within", "20ms"), "tcpmangle: after TIME: rule \"never\" never fired; no connection had port = 81\n")
	is(t, r.does(1, "wait", "--port", "80", "--client-state", "FIN_WAIT_2", "--within", "20ms"),
		"tcpmangle: after TIME: there are 0 such connections, want >=1; connection 1: client ESTABLISHED, server ESTABLISHED\n")
	is(t, r.does(1, "wait", "--port", "81", "--within", "20ms"),
		"tcpmangle: after TIME: there are 0 such connections, want >=1; the only connection has no such port\n")
	is(t, r.does(0, "wait", "--port", "80", "--lasts", "20ms"), "")
	is(t, r.does(0, "wait", "--port", "80", "--within", "0s"), "")
	var now, waited client.Wait
	if r.tells(&now, 1, "wait", "--port", "81", "--within", "0s"); now.Met || time.Duration(now.Took) >= client.DefaultWithin {
		t.Errorf("%+v", now)
	}
	if r.tells(&waited, 0, "wait", "--state", "ESTABLISHED", "--connections", "1"); !waited.Met || waited.Seen != 1 || waited.At == 0 {
		t.Errorf("%+v", waited)
	}
	is(t, r.does(0, "kill", "1", "--by", "forget"), "forget 1: client 10.77.1.1:4000 ESTABLISHED, server 10.77.2.1:80 ESTABLISHED\n")
	is(t, r.does(0, "conns"), "1\t10.77.1.1:4000\tESTABLISHED\t10.77.2.1:80\tESTABLISHED\tTIME\tTIME\tforgotten\t5\t0\n")
	is(t, r.does(0, "heal"), "")
	is(t, r.does(0, "kill", "1", "--by", "blackhole", "--to", "server"), "blackhole 1: client 10.77.1.1:4000 ESTABLISHED, server 10.77.2.1:80 ESTABLISHED\n")
	is(t, r.does(0, "conns"), "1\t10.77.1.1:4000\tESTABLISHED\t10.77.2.1:80\tESTABLISHED\tTIME\tTIME\tserver lost\t5\t0\n")
	is(t, r.does(0, "heal"), "")
	is(t, r.does(2, "kill", "1", "7"), "tcpmangle: there is no connection 7, or it is forgotten\n") // and 1 lives
	is(t, r.does(0, "kill", "--port", "80"), "reset 1: client 10.77.1.1:4000 ESTABLISHED > CLOSED, server 10.77.2.1:80 ESTABLISHED > CLOSED\n"+
		"tcpmangle: 1 connection selected\n")
	is(t, r.does(2, "kill", "--port", "80"), "tcpmangle: no connection is like that; nothing was done\n"+
		"hint: tcpmangle conns lists them, with --closed also those that are over\n")
	is(t, r.does(2, "events", "--rule", "kep"), "tcpmangle: there is no rule \"kep\"\n")
}

func TestInstanceReload(t *testing.T) {
	r := runInstance(t)
	is(t, r.does(0, "reload", "testdata/good.toml")[:1], "c")
	before := r.does(0, "rules")
	is(t, r.does(2, "reload", "testdata/late-fin.toml"), `testdata/late-fin.toml:4:22: rule 1 "late-fin": match.segment: unknown segment kind "fim"; did you mean "fin"?
    4 | match  = { segment = "fim" }
      |                      ^^^^^
testdata/late-fin.toml:5:27: rule 1 "late-fin": delay.by: "10 ms" is not a duration; write "TIME"
    5 | action = { delay = { by = "10 ms" } }
      |                           ^^^^^^^
tcpmangle: there are mistakes in the rules; nothing has changed
`)
	is(t, r.does(0, "rules"), before)
	wrong := r.does(2, "reload", "testdata/late-fin.toml", "testdata/good.toml", "testdata/syntax.toml")
	for _, mistake := range []string{"late-fin.toml:4:22: ", "late-fin.toml:5:27: ", "syntax.toml:"} {
		if !strings.Contains(wrong, "testdata/"+mistake) {
			t.Errorf("%s is not among\n%s", mistake, wrong)
		}
	}
	is(t, r.does(0, "rules"), before)
	if got := r.does(0, "reload", "testdata/never.toml", "testdata/good.toml"); strings.Count(got, "\n") < 3 {
		t.Errorf("both files: %s", got)
	}
	is(t, r.does(2, "reload", "testdata/golden"), "tcpmangle: testdata/golden: no *.toml in this folder\n")
	if got := r.does(0, "reload"); !strings.HasPrefix(got, "keep\t") {
		t.Errorf("%s", got)
	}
}

// Events come as they happen, as lines for people and for programs.
func TestInstanceEvents(t *testing.T) {
	r := runInstance(t)
	for _, row := range []struct{ args, want string }{
		{"-n 1 --type open", "TIME open 1 10.77.1.1:4000 > 10.77.2.1:80\n"},
		{"-n 1 --type segment --rule keep", "TIME segment 2 client A 1:6 ack 1 hold keep [ESTABLISHED ESTABLISHED]\n"},
		{"-n 2 --type rule,state --conn 3", "TIME state 3 client CLOSED > SYN_SENT\nTIME state 3 server CLOSED > SYN_RCVD\n"},
		{"-n 1 --type rule --json -f", `{"t":TIME,"type":"rule","conn":4,"incarnation":1,"client":"10.77.1.1:4003","server":"10.77.2.1:80","rules":["keep"],"action":"hold","detail":"until release","client_state":"ESTABLISHED","server_state":"ESTABLISHED"}` + "\n"},
	} {
		printed := make(chan string, 1)
		go func() { printed <- r.does(0, append([]string{"events"}, strings.Fields(row.args)...)...) }()
		awaitListener(t, r)
		r.open()
		is(t, <-printed, row.want)
	}
}

// The end of the instance is no verdict of a wait, and the end of events.
func TestInstanceEnds(t *testing.T) {
	r := runInstance(t)
	waited, printed := make(chan string, 1), make(chan string, 1)
	go func() { waited <- r.does(3, "wait", "--rule", "keep", "--fired", "2", "--within", "1h", "--json") }()
	go func() { printed <- r.does(0, "events") }()
	awaitListener(t, r)
	r.open()
	until(t, "a wait", func() bool { return strings.Contains(metricsOf(t, r), "tcpmangle_waits 1\n") })
	r.end()
	is(t, <-waited, "tcpmangle: the instance has ended\n")
	if got := <-printed; !strings.Contains(got, " rule 1 keep hold until release") {
		t.Errorf("events %s", got)
	}
	is(t, r.does(3, "wait", "--rule", "keep"), "tcpmangle: no instance of tcpmangle answers at "+r.api+": connect: no such file or directory\n"+
		"hint: tcpmangle run starts one; --api or $TCPMANGLE_API says where it listens\n")
}

// Lists that follow each other can be told from each other.
func TestInstanceWatch(t *testing.T) {
	r := runInstance(t)
	r.open()
	row := "1\t10.77.1.1:4000\tESTABLISHED\t10.77.2.1:80\tESTABLISHED\tTIME\tTIME\t1 held\t0 of 5\t0\n"
	for _, flags := range [][]string{{"-w"}, {"-w", "--json"}} {
		cmd := command(t, append([]string{"conns", "--api", r.api}, flags...)...)
		out, err := cmd.StdoutPipe()
		nstest.Must(t, err)
		nstest.Must(t, cmd.Start())
		lines := bufio.NewReader(out)
		for range 2 {
			first, err := lines.ReadString('\n')
			nstest.Must(t, err)
			if len(flags) > 1 {
				var list struct {
					Time        time.Time
					Connections []client.Connection
				}
				if err := json.Unmarshal([]byte(first), &list); err != nil || time.Since(list.Time) > time.Minute || len(list.Connections) != 1 {
					t.Errorf("%s, %v", first, err)
				}
				continue
			}
			if _, err := time.Parse("# "+time.RFC3339+"\n", first); err != nil {
				t.Error(err)
			}
			second, _ := lines.ReadString('\n')
			is(t, timesIn.ReplaceAllString(second, "TIME"), row)
		}
		nstest.Must(t, cmd.Process.Signal(os.Interrupt))
		nstest.Must(t, cmd.Wait())
	}
}

// awaitListener waits until somebody follows events.
func awaitListener(t *testing.T, r *running) {
	t.Helper()
	until(t, "a reader of events", func() bool { return strings.Contains(metricsOf(t, r), "tcpmangle_event_listeners 1\n") })
}

// What was done to a connection is told in words, and what is known of it only by guess.
func TestNotes(t *testing.T) {
	for want, c := range map[string]client.Connection{
		"": {},
		"picked up, client lost, server lost, forgotten, 2 held, #a, #b": {
			PickedUp: true, Lost: []string{"client", "server"}, Forgotten: true, Held: 2, Tags: []string{"a", "b"},
		},
	} {
		is(t, notesOf(&c), want)
	}
	is(t, selectedWords([]client.Connection{{ClientState: "ESTABLISHED"}}), "1 connection selected")
	is(t, selectedWords([]client.Connection{{ServerState: "TIME_WAIT"}, {ClientState: "TIME_WAIT", ServerState: "TIME_WAIT"}, {}}),
		"3 connections selected, 2 of them in TIME_WAIT")
}

// On a terminal a list has columns, and names over them.
func TestTable(t *testing.T) {
	list := table{columns: []string{"RULE", "FIRED"}}
	list.add("lose-last-ack", 12)
	list.add("x", 1)
	for forPeople, want := range map[bool]string{
		true:  "RULE           FIRED\nlose-last-ack  12\nx              1\n",
		false: "lose-last-ack\t12\nx\t1\n",
	} {
		var b strings.Builder
		if err := list.write(&b, forPeople); err != nil {
			t.Fatal(err)
		}
		is(t, b.String(), want)
	}
}

// metricsOf is what Prometheus would get.
func metricsOf(t *testing.T, r *running) string {
	t.Helper()
	web := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.api)
	}}}
	defer web.CloseIdleConnections()
	resp, err := web.Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
