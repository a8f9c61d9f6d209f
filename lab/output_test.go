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
