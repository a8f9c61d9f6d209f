package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// The test binary is also the command: with testRole set it plays that part
// instead of running tests.
const (
	testRole    = "TCPMANGLE_TEST_ROLE"
	roleCommand = "command"
	roleNobody  = "nobody" // the command, without root but with a device node of its own
	roleHost    = "host"   // the command, on a host with a resolv.conf of its own
	roleProbe   = "probe"  // a client, for commands that run commands
	roleInside  = "inside" // has a command among other processes, and stands for it here
)

var update = flag.Bool("update", false, "write the golden files and docs/reference.md from what comes out")

func TestMain(m *testing.M) {
	switch os.Getenv(testRole) {
	case roleCommand:
		main()
	case roleNobody:
		becomeNobody()
	case roleHost:
		becomeHost()
	case roleProbe:
		os.Exit(probe(os.Args[1:]))
	case roleInside:
		os.Exit(inside(os.Args[1], os.Args[2:]...))
	}
	os.Exit(m.Run())
}

// command prepares a call of tcpmangle.
func command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Args[0] = "tcpmangle"
	cmd.Env = append(os.Environ(), testRole+"="+roleCommand,
		"GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0") // else each call ends a second later under -race
	return cmd
}

// An outcome is everything that a caller of the command gets.
type outcome struct {
	stdout, stderr string
	status         int
}

// tcpmangle calls the command.
func tcpmangle(t testing.TB, args ...string) outcome {
	t.Helper()
	return finish(t, command(t, args...))
}

// finish runs a prepared command.
func finish(t testing.TB, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return outcome{stdout.String(), stderr.String(), statusOf(t, err)}
}

// statusOf is the exit status in what Wait returned; -1 is a signal.
func statusOf(t testing.TB, err error) int {
	t.Helper()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		t.Fatal(err)
	}
	if err == nil {
		return 0
	}
	return exit.ExitCode()
}

// wants fails the test at once unless the status is this one.
func (o outcome) wants(t testing.TB, status int) {
	t.Helper()
	if o.status != status {
		t.Fatalf("exit status %d, want %d\nstdout:\n%s\nstderr:\n%s", o.status, status, o.stdout, o.stderr)
	}
}

// has fails the test unless the text, called by a name, contains some words.
func has(t testing.TB, name, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s lacks %q:\n%s", name, w, text)
		}
	}
}

// needLab skips where labs cannot run, or fails where they are required.
func needLab(t testing.TB) {
	t.Helper()
	if err := netns.Check(); err != nil {
		lacking(t, "TCPMANGLE_REQUIRE_TUN", err.Error())
	}
}

// needRoot skips a test that has to make namespaces by itself.
func needRoot(t testing.TB) {
	t.Helper()
	needLab(t)
	if netns.NeedUserNS() {
		t.Skip("needs root, to take rights away")
	}
}

// lacking skips the test for a reason, or fails it where a variable forbids that.
func lacking(t testing.TB, variable, why string) {
	t.Helper()
	if os.Getenv(variable) == "1" {
		t.Fatalf("%s=1, but: %s", variable, why)
	}
	t.Skip(why)
}

// golden compares a text with a file in testdata/golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	same(t, filepath.Join("testdata", "golden", name+".txt"), got)
}

// same compares a text with a file, or writes it there with -update.
func same(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./cmd/tcpmangle -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./cmd/tcpmangle -update accepts this)\ngot\n%s\nwant\n%s", path, got, want)
	}
}
