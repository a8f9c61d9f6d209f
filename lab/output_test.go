package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// What is expected of a program's output is found behind more of it than anybody keeps.
func TestMuchOutput(t *testing.T) {
	nstest.NeedTUN(t)
	t.Parallel()
	tests := map[string]string{
		"lines":  `yes | head -n 100005; echo ready`,
		"a line": `head -c 33000000 /dev/zero; echo; echo ready`,
	}
	for name, command := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := execute(t, `
				[client]
				run = ["sh", "-c", "`+command+`"]
				[[expect]]
				stdout = { client = "^ready" }`, Options{})
			passes(t, res)
			bytes := 0
			for _, l := range res.Client.Output {
				bytes += len(l.Text)
			}
			if len(res.Client.Output) > maxLines || bytes > maxOutput || res.Client.Unkept == 0 {
				t.Errorf("%d lines with %d bytes are kept, %d are not", len(res.Client.Output), bytes, res.Client.Unkept)
			}
			if text := render(res); !strings.Contains(text, "notice: the client put out ") {
				t.Errorf("the notice is missing:\n%s", text)
			}
			var json strings.Builder
			if err := res.WriteJSON(&json); err != nil || !strings.Contains(json.String(), fmt.Sprintf(`"unkept":%d,`, res.Client.Unkept)) {
				t.Errorf("it is not in the JSON, %v", err)
			}
		})
	}
}

// An expectation may be met more than once, too late, or on the other stream.
func TestOutputExpectations(t *testing.T) {
	tests := []struct {
		name, expect string
		lines        []Line
		ruling       ruling
		at           time.Duration
	}{
		{"the first of two", `stdout = "client: b"`,
			[]Line{{time.Second, 1, "stdout", "a"}, {2 * time.Second, 1, "stdout", "b"}, {3 * time.Second, 1, "stdout", "b"}}, pass, time.Second},
		{"the other stream", `stdout = "client: b"`, []Line{{time.Second, 1, "stderr", "b"}}, fail, 0},
		{"too late", "stdout = \"client: b\"\nwithin = \"1s\"", []Line{{3 * time.Second, 1, "stdout", "b"}}, fail, 0},
		{"before the client's start", "stdout = \"client: b\"\nwithin = \"1s\"", []Line{{0, 1, "stdout", "b"}}, pass, -time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := parse(t, "[client]\nrun = \"true\"\n[[expect]]\n"+tt.expect)
			var now time.Duration
			a := newActor(&host{}, f.hosts[clientSide], 1, func() time.Duration { return now }, func(string) {})
			a.wanted = f.outputs(clientSide)
			for _, l := range tt.lines {
				now = l.At
				a.line(l.Copy, l.Stream, l.Text)
			}
			got := f.expects[0].check().look(&moment{at: 2 * time.Second, start: time.Second, actors: [2]*actor{a}, last: true})
			if got.ruling != tt.ruling || got.at != tt.at {
				t.Errorf("got %v at %v, want %v at %v", got.ruling, got.at, tt.ruling, tt.at)
			}
		})
	}
}

// A program that has failed is quoted, in the sentence that tells of it.
func TestLastWords(t *testing.T) {
	t.Parallel()
	fails(t, execute(t, `
		[client]
		run = ["sh", "-c", "echo no >&2; echo such thing >&2; echo here; exit 3"]`, Options{}),
		`the client ended with status 3, saying "such thing"`)
	fails(t, execute(t, `
		[client]
		run = ["sh", "-c", "echo such thing >&2; exit 3"]
		[[expect]]
		exit = "client: 0"`, Options{}),
		`it ended with 3, saying "such thing"`)
}

// A server that ends, or goes to the background and is ended, before it listens is named for it.
func TestServerThatNeverListened(t *testing.T) {
	t.Parallel()
	fails(t, execute(t, `
		[server]
		run   = ["sh", "-c", "sleep 60 & echo bye"]
		ready = "tcp:8080"
		[client]
		script = """
		  expect-error ECONNREFUSED
		  connect server:8080
		"""`, Options{}), "FAIL  the server has ended before it listened at port 8080\n")
}

// One that is expected to end may end so.
func TestServerThatIsToFail(t *testing.T) {
	t.Parallel()
	passes(t, execute(t, `
		[server]
		run   = ["sh", "-c", "exit 3"]
		ready = "tcp:8080"
		[client]
		script = """
		  expect-error ECONNREFUSED
		  connect server:8080
		"""
		[[expect]]
		exit = "server: 3"`, Options{}))
}

// An exit that is expected is that of the last start.
func TestExitAfterRestart(t *testing.T) {
	t.Parallel()
	passes(t, execute(t, fmt.Sprintf(`
		[server]
		run   = [%q]
		env   = { %s = "yes" }
		ready = "tcp:8080"
		[client]
		script = "connect server:8080"
		[[step]]
		when = { client = "ESTABLISHED" }
		do   = "restart server"
		[[expect]]
		exit = "server: 7"`, os.Args[0], serveOnce), Options{}))
}

// A program that has ended before a step starts it again is not what is asked for, and each
// end is told with its own last words.
func TestExitBeforeRestart(t *testing.T) {
	f := parse(t, `
		[server]
		run = "true"
		[client]
		script = "sleep 1s"
		[[step]]
		at = "1s"
		do = "restart server"
		[[expect]]
		exit = "server: 4"`)
	a := newActor(&host{}, f.hosts[serverSide], 1, func() time.Duration { return 0 }, func(string) {})
	check := f.expects[0].check()
	m := &moment{actors: [2]*actor{nil, a}, steps: f.steps}
	a.line(1, "stderr", "first")
	a.exited(1, 3)
	if got := check.look(m); got.ruling != open {
		t.Errorf("before the restart it is %v: %s", got.ruling, got.why)
	}
	if got, want := check.look(&moment{actors: m.actors, steps: f.steps, rest: true}), `it ended with 3, saying "first"`; got.ruling != fail || got.why != want {
		t.Errorf("where the step cannot come: got %v, %q", got.ruling, got.why)
	}
	a.before, m.steps = 1, nil
	a.exited(1, 4)
	if got := check.look(m); got.ruling != pass {
		t.Errorf("after the restart it is %v: %s", got.ruling, got.why)
	}
	if first, second := a.exits[0].words(), a.exits[1].words(); first != `, saying "first"` || second != "" {
		t.Errorf("their words are %q and %q", first, second)
	}
}

// What is asked for, a line of output or an error, may come only after it.
func TestOutputAfterRestart(t *testing.T) {
	for does, says := range map[string]string{`run = "true"`: `stdout = "server: ready"`, `script = "listen 8080"`: `error = "server: EADDRINUSE"`} {
		f := parse(t, "[server]\n"+does+"\n[[step]]\nat = '1s'\ndo = 'restart server'\n[[expect]]\n"+says)
		a := newActor(&host{}, f.hosts[serverSide], 1, func() time.Duration { return 0 }, func(string) {})
		check := f.expects[0].check()
		if got := check.look(&moment{actors: [2]*actor{nil, a}, steps: f.steps}); got.ruling != open {
			t.Errorf("%s: before the restart it is %v", says, got.ruling)
		}
		if got := check.look(&moment{actors: [2]*actor{nil, a}}); got.ruling != fail {
			t.Errorf("%s: after the last one it is %v", says, got.ruling)
		}
	}
}

// serveOnce is set for a process of this binary that is to serve.
const serveOnce = "LAB_TEST_SERVE_ONCE"

// serve is a program: it listens until it is killed, and the next time ends at once.
func serve() {
	if err := os.Mkdir(filepath.Join(os.Getenv("TMPDIR"), "served"), 0o700); err != nil {
		os.Exit(7)
	}
	if _, err := net.Listen("tcp", ":8080"); err != nil {
		os.Exit(1)
	}
	select {}
}
