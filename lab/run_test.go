package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// pingPong is a client that closes first after one request and its answer.
const pingPong = `
[server]
script = """
  listen 8080
  accept
  recv 4
  send pong
  recv eof
  close
"""
[client]
script = """
  connect server:8080
  send ping
  recv 4
  close
"""
`

// execute runs the text of a file. Where labs cannot run the test is skipped, or
// fails if they are required.
func execute(t *testing.T, text string, o Options) *Result {
	t.Helper()
	nstest.NeedTUN(t)
	res, err := Execute(t.Context(), parse(t, text), o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func parse(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// passes fails the test with the whole result unless that passes.
func passes(t *testing.T, res *Result) {
	t.Helper()
	if !res.Pass {
		t.Error("\n" + render(res))
	}
}

// fails wants a failing result that says so in these words.
func fails(t *testing.T, res *Result, words string) {
	t.Helper()
	text := render(res)
	if res.Pass || !strings.Contains(text, words) {
		t.Errorf("want a failure with %q, got\n%s", words, text)
	}
}

func render(res *Result) string {
	var b strings.Builder
	_ = res.WriteText(&b, false)
	return b.String()
}

func TestLastAckLost(t *testing.T) {
	nstest.NeedTUN(t)
	Run(t, filepath.Join("..", "examples", "rules", "last-ack-lost.toml"))
}

// Each row is a lab that passes as it stands, over both families and backends.
func TestLabsThatPass(t *testing.T) {
	tests := map[string]string{
		"no fault": pingPong + `
			[[expect]]
			client = "TIME_WAIT"
			server = "CLOSED"
			lasts  = "100ms"`,
		"first FIN dropped once": pingPong + `
			[[rule]]
			name   = "lose-fin"
			match  = { segment = "first-fin" }
			action = "drop"
			count  = 1
			[[expect]]
			client = "FIN_WAIT_1"
			server = "ESTABLISHED"
			[[expect]]
			client = "TIME_WAIT"
			[[expect]]
			rule  = "lose-fin"
			fired = 1`,
		"SYNs dropped": `
			[[rule]]
			name   = "lose-syn"
			match  = { segment = "syn" }
			action = "drop"
			[server]
			script = "listen 8080"
			[client]
			script = '''
			  set syncnt 1
			  connect server:8080
			'''
			[[expect]]
			client = "SYN_SENT"
			server = "LISTEN"
			lasts  = "300ms"
			[[expect]]
			error = "client: ETIMEDOUT"`,
		"the client is refused, as expected": `
			[client]
			script = """
			  expect-error ECONNREFUSED
			  connect server:8080
			"""
			[[expect]]
			error = { client = "ECONNREFUSED" }`,
		"ten clients at once": strings.Replace(pingPong, "[client]", "[client]\ncopies = 10\nstagger = '2ms'", 1) + `
			[[expect]]
			client = "TIME_WAIT"
			connections = 10
			[[expect]]
			server = "CLOSE_WAIT"
			connections = "< 5"
			lasts = "200ms"`,
		"simultaneous open": `
			[[rule]]
			name   = "cross-the-syns"
			match  = { segment = "syn" }
			action = { hold = { until = "peer-syn", timeout = "5s" } }
			[client]
			script = """
			  set reuseaddr
			  connect server:7777 from 8888
			  send hello
			  recv 5
			"""
			[server]
			script = """
			  set reuseaddr
			  connect client:8888 from 7777
			  send hello
			  recv 5
			"""
			[[expect]]
			client = "ESTABLISHED"
			server = "ESTABLISHED"
			lasts  = "200ms"`,
		"a link that delays": pingPong + `
			[lab]
			link = { delay = "450ms" }
			[[expect]]
			client = "SYN_SENT"
			server = "SYN_RCVD"
			lasts  = "30ms"
			[[expect]]
			client = "TIME_WAIT"
			server = "CLOSED"`,
		"a link that is slow and loses": `
			seed = 3
			[lab]
			link = { delay = "2ms", rate = "1mbit", loss = "2%" }
			[server]
			script = """
			  listen 8080
			  accept
			  recv eof pattern
			  close
			"""
			[client]
			script = """
			  connect server:8080
			  send 100KiB bytes
			  close
			"""
			[[expect]]
			client = ["ESTABLISHED", "FIN_WAIT_1"]
			server = "ESTABLISHED"
			lasts  = "500ms"
			[[expect]]
			client = ["TIME_WAIT", "CLOSED"]
			server = "CLOSED"
			lasts  = "100ms"`,
		"a megabyte each way": `
			[server]
			script = """
			  listen 8080
			  accept
			  recv eof pattern
			  send 1000000 bytes
			  close
			"""
			[client]
			script = """
			  connect server:8080
			  send 1000000 bytes
			  shutdown
			  recv eof pattern
			  close
			"""
			[[expect]]
			client = ["TIME_WAIT", "CLOSED"] # a needless retransmission may end TIME_WAIT
			server = "CLOSED"`,
		"kill": `
			[server]
			script = """
			  listen 8080
			  accept
			  send x
			  recv eof
			  sleep 1h
			"""
			[client]
			script = """
			  connect server:8080
			  recv 1
			  shutdown
			  recv eof
			"""
			[[step]]
			when = { server = "CLOSE_WAIT" }
			do   = "kill server"
			[[expect]]
			client = "TIME_WAIT"
			server = "CLOSED"`,
		"restart": `
			[[rule]]
			name     = "until-it-listens"
			match    = { segment = "syn", connection = 2 }
			action   = { hold = { until = "release", timeout = "1m" } }
			optional = true
			[server]
			script = """
			  set reuseaddr
			  listen 8080
			  accept
			  send hi
			  recv eof
			"""
			[client]
			script = """
			  connect server:8080
			  recv 2
			  shutdown
			  recv eof
			  connect server:8080
			  recv 2
			  shutdown
			  recv eof
			"""
			[[step]]
			when = { server = "CLOSE_WAIT" } # which only its death ends
			do   = "restart server"
			[[step]]
			when = { client = "SYN_SENT", server = "LISTEN" }
			do   = "heal"
			[[step]]
			when = { server = "CLOSE_WAIT" }
			do   = "kill server"
			[[expect]]
			client      = "TIME_WAIT"
			connections = 2`,
		"destroy: power loss, and a reset when the peer goes on": `
			[[rule]]
			name   = "pong-is-there"
			match  = { from = "client", segment = "ack+!handshake-ack" }
			action = "pass"
			[server]
			script = """
			  listen 8080
			  accept
			  recv 4
			  send pong
			  recv 1
			"""
			[client]
			script = """
			  connect server:8080
			  send ping
			  recv 4
			  sleep 2s
			  send more
			  expect-error ECONNRESET
			  recv 1
			"""
			[[step]]
			when = { rule = "pong-is-there" }
			do   = "destroy server"
			[[expect]]
			client = "ESTABLISHED"
			server = "CLOSED"
			lasts  = "200ms"`,
		"destroy: also TIME_WAIT": pingPong + `
			[[step]]
			when = { client = "TIME_WAIT", server = "CLOSED" }
			do   = "destroy client"
			[[expect]]
			client = "CLOSED"
			server = "CLOSED"
			lasts  = "100ms"`,
		"steps on rules": `
			[[rule]]
			name    = "lose-data"
			match   = { segment = "data", from = "client" }
			action  = "drop"
			enabled = false
			[[rule]]
			name   = "keep-go"
			match  = { segment = "data", from = "server" }
			action = { hold = { until = "release", timeout = "1m" } }
			[[rule]]
			name   = "keep-fin"
			match  = { segment = "first-fin" }
			action = { hold = { until = "release", timeout = "10s" } }
			[server]
			script = """
			  listen 8080
			  accept
			  send go
			  recv 4
			  recv eof
			"""
			[client]
			script = """
			  connect server:8080
			  recv 2
			  send ping
			  shutdown
			"""
			[[step]]
			when = { server = "ESTABLISHED" }
			do   = "enable lose-data"
			[[step]]
			when = { rule = "keep-go" }
			do   = "release keep-go"
			[[step]]
			when = { rule = "lose-data" }
			do   = "disable lose-data"
			[[step]]
			when = { rule = "keep-fin" }
			do   = "release keep-fin"
			[[step]]
			when = { server = "CLOSE_WAIT" }
			do   = "heal"
			[[expect]]
			client = "FIN_WAIT_2"
			server = "CLOSE_WAIT"
			[[expect]]
			rule  = "lose-data"
			fired = ">= 1"`,
		"programs": `
			[lab]
			ip = 4
			[client]
			run = ["sh", "-c", "echo $CLIENT to $SERVER; echo \"$# arguments and nothing$NOTHING\"; echo oops >&2; exit $CODE", "sh", "x", ""]
			env = { CODE = "3", NOTHING = "" }
			[[expect]]
			exit = "client: 3"
			[[expect]]
			stdout = "client: ^(10.77.1.1 to 10.77.2.1|fd77:1::1 to fd77:2::1)$"
			[[expect]]
			stdout = "client: ^2 arguments and nothing$"
			[[expect]]
			stderr = { client = "oops" }`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, ip := range []int{4, 6} {
				for _, mode := range []tunnel.OffloadMode{tunnel.On, tunnel.Off} {
					t.Run(fmt.Sprintf("IPv%d, offload %v", ip, mode), func(t *testing.T) {
						t.Parallel()
						passes(t, execute(t, text, Options{IP: ip, Offload: mode}))
					})
				}
			}
		})
	}
}

// Each row is a lab that fails, and says why.
func TestLabsThatFail(t *testing.T) {
	tests := []struct{ name, text, words string }{
		{"a state that never comes", pingPong + `
			[[expect]]
			client = "CLOSING"
			within = "3s"`,
			"client TIME_WAIT, server CLOSED"},
		{"a state that does not last", strings.Replace(pingPong, "recv eof", "recv eof\n sleep 2s", 1) + `
			[[expect]]
			client = "FIN_WAIT_2"
			within = "3s"
			lasts  = "10s"`,
			"it held for"},
		{"a rule that never fires", pingPong + `
			[[rule]]
			name   = "never"
			match  = { port = 8080, segment = "rst" }
			action = "drop"`,
			"rule never never fired; closest: "},
		{"a rule that fires too often", pingPong + `
			[[rule]]
			name   = "too-often"
			match  = { segment = "syn" }
			action = { delay = "1ms" }
			[[expect]]
			rule  = "too-often"
			fired = "< 1"`,
			"it fired once"},
		{"an error nobody expected", `
			[client]
			script = "connect server:1"`,
			"the client failed: line 1: connect server:1: ECONNREFUSED"},
		{"an error that never comes", pingPong + `
			[[expect]]
			error = "client: ECONNRESET"`,
			"the client met no error"},
		{"a status nobody expected", `
			[client]
			run = ["false"]`,
			"the client ended with status 1"},
		{"a program that is not there", `
			[client]
			run = ["/no/such/program"]`,
			"the client ended with status 127"},
		{"output that never comes", `
			[client]
			run = ["echo", "no"]
			[[expect]]
			stdout = "client: yes"`,
			"no line of it matches"},
		{"a step that never comes", pingPong + `
			[lab]
			timeout = "400ms"
			[[step]]
			when = { client = "CLOSING" }
			do   = "heal"`,
			"step never came: heal when client CLOSING"},
		{"a server that is never ready", `
			[lab]
			timeout = "300ms"
			[server]
			run   = ["sleep", "100"]
			ready = "tcp:8080"
			[client]
			script = "sleep 1ms"`,
			"the server was not ready within 300ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fails(t, execute(t, tt.text, Options{}), tt.words)
		})
	}
}

func TestExecuteRefusesRuleFile(t *testing.T) {
	_, err := Execute(t.Context(), parse(t, `title = "rules only"`), Options{})
	if !errors.Is(err, ErrNotLab) {
		t.Errorf("got %v, want ErrNotLab", err)
	}
}

func TestUnknownSysctlIsAnError(t *testing.T) {
	nstest.NeedTUN(t)
	_, err := Execute(t.Context(), parse(t, pingPong+"[server.sysctl]\ntcp_no_such_thing = 1\n"), Options{})
	if _, ok := errors.AsType[*netns.SysctlError](err); !ok || !strings.Contains(err.Error(), "server: ") {
		t.Errorf("got %v, want a SysctlError of the server", err)
	}
}

func TestSysctlsReachHostAndBox(t *testing.T) {
	res := execute(t, pingPong+`
		[client.sysctl]
		net.ipv4.tcp_max_tw_buckets = 0
		[[expect]]
		client = "CLOSED"
		server = "CLOSED"
		lasts  = "200ms"`, Options{})
	passes(t, res)
	if strings.Contains(render(res), "TIME_WAIT") {
		t.Errorf("the box inferred a TIME_WAIT that the kernel was told not to have\n%s", render(res))
	}
}

// Events are complete, in order, and of selected connections unless all are wanted.
func TestEventsOutput(t *testing.T) {
	elsewhere := pingPong + `
		[[rule]]
		name     = "elsewhere"
		match    = { port = 9 }
		action   = "drop"
		optional = true
		[[expect]]
		client = "TIME_WAIT"`
	var none, all bytes.Buffer
	passes(t, execute(t, elsewhere, Options{Events: &none}))
	passes(t, execute(t, elsewhere, Options{Events: &all, AllEvents: true}))
	if got := eventTypes(t, &none); !slices.Equal(got, []string{"reload", "expect"}) {
		t.Errorf("without selected connections: got %v, want the rules and one expect", got)
	}
	got := eventTypes(t, &all)
	for _, want := range []string{"open", "state", "segment", "expect"} {
		if !slices.Contains(got, want) {
			t.Errorf("no event %q among %v", want, got)
		}
	}
}

// eventTypes checks that each line is an object and time does not run backwards.
func eventTypes(t *testing.T, lines *bytes.Buffer) (types []string) {
	t.Helper()
	last := 0.0
	dec := json.NewDecoder(lines)
	for dec.More() {
		var e struct {
			T    float64
			Type string
		}
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.T < last {
			t.Errorf("%s at %v after %v", e.Type, e.T, last)
		}
		last = e.T
		types = append(types, e.Type)
	}
	return types
}

func TestSeed(t *testing.T) {
	lossy := `
		seed = 5
		[[rule]]
		name        = "some"
		match       = { segment = "data" }
		action      = "drop"
		probability = 0.3
		[server]
		script = """
		  listen 8080
		  accept
		  recv eof
		"""
		[client]
		script = """
		  connect server:8080
		  set nodelay
		  send 20000 bytes
		  close
		"""
		[[expect]]
		client = "FIN_WAIT_2"`
	if got := execute(t, lossy, Options{}).Seed; got != 5 {
		t.Errorf("got seed %d, want the file's 5", got)
	}
	seed := uint64(9)
	if got := execute(t, lossy, Options{Seed: &seed}).Seed; got != 9 {
		t.Errorf("got seed %d, want that of the options, 9", got)
	}
}

// onExpect is where events are written: it is called when an expectation is decided.
type onExpect func()

func (f onExpect) Write(lines []byte) (int, error) {
	if bytes.Contains(lines, []byte(`"type":"expect"`)) {
		f()
	}
	return len(lines), nil
}

// An interruption ends a lab that would go on for minutes.
func TestInterrupted(t *testing.T) {
	nstest.NeedTUN(t)
	ctx, cancel := context.WithCancel(t.Context())
	res, err := Execute(ctx, parse(t, `
		[server]
		script = "listen 8080\naccept"
		[client]
		script = "connect server:8080\nrecv 1\n"
		[[expect]]
		client = "TIME_WAIT"
		[[rule]]
		name   = "some"
		match  = { segment = "syn" }
		action = "pass"
		[[expect]]
		rule = "some"
		[[expect]]
		server = "ESTABLISHED"`), Options{Timeout: 2 * time.Minute, Events: onExpect(cancel)})
	if err != nil {
		t.Fatal(err)
	}
	if !res.Interrupted {
		t.Error("the result does not say that it was interrupted")
	}
	if text := render(res); res.Pass || strings.Contains(text, "FAIL") || res.Verdict() != "interrupted" {
		t.Errorf("an interruption is neither a pass nor a failure:\n%s", text)
	}
	for i, want := range []string{"open", "open", "pass"} {
		if got := res.Expectations[i].Verdict(); got != want {
			t.Errorf("%s: %s, want %s", res.Expectations[i].Text, got, want)
		}
	}
	var junit bytes.Buffer
	if err := WriteJUnit(&junit, []*Result{res}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(junit.String(), "<skipped "); got != 2 {
		t.Errorf("%d tests skipped, want the two that are open:\n%s", got, junit.String())
	}
}

// Before the client's start no time counts: nothing has come too late.
func TestInterruptedBeforeStart(t *testing.T) {
	nstest.NeedTUN(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	res, err := Execute(ctx, parse(t, `
		[server]
		run   = ["sleep", "100"]
		ready = "tcp:8080"
		[client]
		script = "connect server:8080"
		[[expect]]
		client = "ESTABLISHED"
		within = "10ms"`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if res.Verdict() != "interrupted" || !res.Expectations[0].Open {
		t.Errorf("want an open expectation:\n%s", render(res))
	}
}

// What had failed before the interruption has failed.
func TestInterruptedTooLate(t *testing.T) {
	r := &Result{Interrupted: true, Expectations: []Expectation{{Text: "a", Open: true}, {Text: "b"}}}
	if got := r.Verdict(); got != "fail" {
		t.Errorf("verdict %s, want fail", got)
	}
}

// A lab ends when nothing can come any more, long before its time is over; and not before
// what holds has lasted, or what has a time may come.
func TestEndsWhenNothingCanCome(t *testing.T) {
	const halfOpen = `
		[lab]
		timeout = "1m"
		[server]
		script = """
		  listen 8080
		  accept
		  recv 1
		"""
		[client]
		script = """
		  set keepalive 1s/1s/1
		  connect server:8080
		  recv 1
		"""
		[[step]]
		at = "100ms"
		do = "destroy server"
		[[expect]]
		error = "client: ECONNRESET"`
	tests := []struct {
		name, more, words string
		pass              bool
		atLeast           time.Duration
	}{
		{"a state that never comes again", `
			[[expect]]
			client = "ESTABLISHED"
			server = "CLOSED"
			lasts  = "1m"`, "it held for ", false, 0},
		{"a number of connections", `
			[[expect]]
			client = "ESTABLISHED"
			connections = 7`, "at most 1", false, 0},
		{"a state that is there, and has to last", `
			[[expect]]
			client = "CLOSED"
			server = "CLOSED"
			lasts  = "6s"`, "PASS  client CLOSED", true, 6 * time.Second},
		{"a step on a state that never comes", `
			[[step]]
			when = { client = "TIME_WAIT" }
			do   = "heal"`, "step never came: heal", false, 0},
		{"a step that has a time", `
			[[step]]
			at = "6s"
			do = "heal"
			[[expect]]
			client = "TIME_WAIT"`, "FAIL  client TIME_WAIT", false, 6 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res := execute(t, halfOpen+tt.more, Options{})
			if res.Pass != tt.pass || !strings.Contains(render(res), tt.words) {
				t.Errorf("passes: %v, want %v, with %q:\n%s", res.Pass, tt.pass, tt.words, render(res))
			}
			if res.Duration > 40*time.Second || res.Duration < tt.atLeast {
				t.Errorf("it took %v, want %v at least, and not the minute that it may", res.Duration, tt.atLeast)
			}
		})
	}
}

// What comes by itself, and without a segment until then, is waited for: a state that runs out
// of time, a rule's moment.
func TestWaitsForWhatHasATime(t *testing.T) {
	tests := map[string]string{
		"a state": `
			[[expect]]
			error = "server: EOF"
			[client]
			sysctl = { tcp_fin_timeout = 4 }
			script = """
			  connect server:8080
			  close
			"""
			[[expect]]
			client = "CLOSED"
			server = "CLOSE_WAIT"`,
		"a rule": `
			[[expect]]
			error = "server: ECONNRESET"
			[client]
			script = """
			  connect server:8080
			  expect-error ECONNRESET
			  recv 1
			"""
			[[rule]]
			name   = "late"
			at     = { age = "4s" }
			action = "reset"
			[[expect]]
			client = "CLOSED"`,
	}
	const server = `
		[server]
		script = """
		  listen 8080
		  accept
		  recv 1
		"""`
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := execute(t, server+text, Options{})
			passes(t, res)
			if res.Duration < 4*time.Second {
				t.Errorf("it took %v, want four seconds", res.Duration)
			}
		})
	}
}

// Ladder, expectations, events and looks count from the same moment, the client's start.
func TestOneClock(t *testing.T) {
	var lines, looks bytes.Buffer
	res := execute(t, pingPong+`
		[[rule]]
		name   = "all"
		match  = { port = 8080 }
		action = "pass"
		[[step]]
		when = { client = "TIME_WAIT" }
		do   = "heal"
		[[expect]]
		client = "TIME_WAIT"`, Options{Events: &lines, Explain: &looks})
	passes(t, res)
	var opened engine.Event
	at := map[string]float64{}
	for dec := json.NewDecoder(&lines); dec.More(); {
		var e struct {
			T    float64
			Type string
		}
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if _, later := at[e.Type]; !later {
			at[e.Type] = e.T
		}
	}
	for _, e := range res.Events {
		if e.Type == engine.EventOpen {
			opened = e
		}
	}
	if at["reload"] != 0 { // what was before is told as of the start
		t.Errorf("the rules were there at %v, want 0", at["reload"])
	}
	const rounding = 1e-6 // of seconds in JSON
	if opened.Time < 0 || math.Abs(opened.Time.Seconds()-at["open"]) > rounding {
		t.Errorf("the result has the connection begin at %v, the events at %v", opened.Time, at["open"])
	}
	if want := fmt.Sprintf("%.6f #1 ", at["open"]); !strings.HasPrefix(looks.String(), want) {
		t.Errorf("no look at %q:\n%s", want, looks.String())
	}
	if want := fmt.Sprintf("\n%9.3f       CLOSED |", opened.Time.Seconds()); !strings.Contains(render(res), want) {
		t.Errorf("the ladder does not begin at %q:\n%s", want, render(res))
	}
	if got := res.Expectations[0].At.Seconds(); got < at["open"] || got > at["expect"]+rounding {
		t.Errorf("it came true at %v, decided at %v", got, at["expect"])
	}
	if got := res.Steps; len(got) != 1 || got[0].Text != "heal" || got[0].At < opened.Time || got[0].At > res.Duration {
		t.Errorf("steps %v", got)
	}
}

// failing takes so many bytes.
type failing struct{ room int }

var errFull = errors.New("full")

func (f *failing) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// An output that cannot be written costs that output, and not the result.
func TestOutputThatFails(t *testing.T) {
	nstest.NeedTUN(t)
	const text = pingPong + "[[expect]]\nclient = 'TIME_WAIT'"
	for name, opts := range map[string]Options{
		"events":  {Events: &failing{100}, AllEvents: true},
		"explain": {Explain: &failing{100}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, err := Execute(t.Context(), parse(t, text+"\n[[rule]]\nname = 'all'\nmatch = { port = 8080 }\naction = 'pass'"), opts)
			if _, ok := errors.AsType[*OutputError](err); !ok || !errors.Is(err, errFull) || !strings.HasPrefix(err.Error(), name+": ") {
				t.Errorf("got %v, want an OutputError of %s", err, name)
			}
			if res == nil {
				t.Fatal("there is no result")
			}
			passes(t, res)
		})
	}
	res, err := Execute(t.Context(), parse(t, text), Options{Capture: "/dev/full"})
	if _, ok := errors.AsType[*OutputError](err); !ok || res != nil {
		t.Errorf("got %v and %v, want an OutputError before anything is run", res, err)
	}
}

func TestCapture(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.pcapng")
	passes(t, execute(t, pingPong+`
		[[expect]]
		client = "TIME_WAIT"`, Options{Capture: file}))
	packets := readCapture(t, file)
	if len(packets[0]) < 9 || len(packets[0]) != len(packets[1]) {
		t.Errorf("got %d and %d packets on the two interfaces, want the same number", len(packets[0]), len(packets[1]))
	}
	for _, p := range packets[0] {
		if protocol := p[9]; protocol != 6 {
			t.Errorf("a packet of protocol %d: something else than the experiment talks", protocol)
		}
	}
}

// Over IPv6 a host says nothing of its own either.
func TestNothingElseTalks(t *testing.T) {
	res := execute(t, pingPong+`
		[[expect]]
		client = "TIME_WAIT"
		lasts  = "1500ms"`, Options{IP: 6})
	passes(t, res)
	for reason, n := range res.Stats.Others {
		if n > 0 {
			t.Errorf("%d packets that are no TCP segments, reason %d", n, reason)
		}
	}
}
