package lab

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// runLab, set to a file, turns the test binary into a process that executes it.
const runLab = "LAB_TEST_RUN"

func TestMain(m *testing.M) {
	if file := os.Getenv(runLab); file != "" {
		runHere(file)
	}
	if os.Getenv(serveOnce) != "" {
		serve()
	}
	os.Exit(m.Run())
}

func runHere(file string) {
	f, err := Load(file)
	if err == nil {
		_, err = Execute(context.Background(), f, Options{Output: os.Stdout})
	}
	fmt.Println(err)
	os.Exit(1)
}

// A long experiment with everything in it that could be left behind: a listener, a
// program with a child, and one that has left its session.
const lasting = `
[server]
run = ["sh", "-c", "setsid sleep 1000 & echo in $(readlink /proc/self/ns/net); sleep 1000"]
[client]
script = """
  listen 9090
  sleep 1000s
"""
`

// Nothing is left of runs that end in every way: decided, timed out, interrupted.
func TestNothingIsLeft(t *testing.T) {
	nstest.NeedTUN(t)
	run := func(text string, cancelAfter time.Duration) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), cancelAfter, context.Canceled)
		defer cancel()
		if _, err := Execute(ctx, parse(t, text), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	all := func() {
		run(pingPong, time.Minute)
		run("[lab]\ntimeout = '200ms'\n"+lasting, time.Minute)
		run(lasting, 200*time.Millisecond)
		run(lasting, 0)
		run(strings.Replace(pingPong, "close", "set linger 100s\nsend 1000000 bytes\nclose", 1)+"[lab]\ntimeout = '300ms'\n", time.Minute)
	}
	all() // what the runtime and the libraries keep for good is there now
	goroutines, files, children := runtime.NumGoroutine(), openFiles(t), childPIDs(t)
	all()
	if got := settled(runtime.NumGoroutine, goroutines); got > goroutines {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, before %d:\n%s", got, goroutines, buf[:runtime.Stack(buf, true)])
	}
	if got := settled(func() int { return openFiles(t) }, files); got > files {
		t.Errorf("%d open files, before %d", got, files)
	}
	if got := childPIDs(t); len(got) > len(children) {
		t.Errorf("child processes %v, before %v", got, children)
	}
}

// settled asks until the answer is no more than wanted, on a machine with much else to do.
func settled(ask func() int, wanted int) (n int) {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if n = ask(); n <= wanted || time.Now().After(end) {
			return n
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func childPIDs(t *testing.T) (pids []string) {
	t.Helper()
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, file := range files {
		text, _ := os.ReadFile(file) // the thread may have ended
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

// A process that is killed in the middle of a run takes everything with it.
func TestKilledLeavesNothing(t *testing.T) {
	nstest.NeedTUN(t)
	file := filepath.Join(t.TempDir(), "lasting.toml")
	if err := os.WriteFile(file, []byte(lasting), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), runLab+"="+file, "TMPDIR="+t.TempDir()) // killed, it cannot tidy up
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ns := namespaceOf(t, bufio.NewScanner(out))
	if n := len(inNamespace(ns)); n < 3 {
		t.Fatalf("%d processes in the namespace, want a shell and its two children", n)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if settled(func() int { return len(inNamespace(ns)) }, 0) > 0 {
		t.Errorf("processes %v are left", inNamespace(ns))
	}
}

// namespaceOf reads the program's network namespace from the output of the run.
func namespaceOf(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	for lines.Scan() {
		if ns, ok := strings.CutPrefix(lines.Text(), "server: in "); ok {
			return ns
		}
	}
	t.Fatal("the program did not start")
	return ""
}

// inNamespace lists the processes in a network namespace.
func inNamespace(ns string) (pids []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == ns {
			pids = append(pids, strings.Split(link, "/")[2])
		}
	}
	return pids
}
