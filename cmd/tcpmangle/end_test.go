package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// A session of testdata/long.toml that is under way.
type lasting struct {
	*exec.Cmd
	stdout bytes.Buffer
	stderr *bufio.Reader
	before string // of standard error
}

// begin starts a prepared lab with -v and returns when its program says that it is
// up. cmd.Stdout may be set.
func begin(t *testing.T, cmd *exec.Cmd) *lasting {
	t.Helper()
	l := &lasting{Cmd: cmd}
	if cmd.Stdout == nil {
		cmd.Stdout = &l.stdout
	}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	l.stderr = bufio.NewReader(stderr)
	l.before = l.await(t, "up\n")
	return l
}

// await reads standard error until a line that ends so.
func (l *lasting) await(t *testing.T, end string) (read string) {
	t.Helper()
	for {
		line, err := l.stderr.ReadString('\n')
		read += line
		if strings.HasSuffix(line, end) {
			return read
		}
		if err != nil {
			t.Fatalf("standard error ends before %q: %v\n%s", end, l.Wait(), read)
		}
	}
}

// end waits for the process.
func (l *lasting) end(t *testing.T) outcome {
	t.Helper()
	rest, _ := io.ReadAll(l.stderr)
	status := statusOf(t, l.Wait())
	return outcome{l.stdout.String(), l.before + string(rest), status}
}

func (l *lasting) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := l.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// interruptOnce is a lab that Ctrl-C ends.
func interruptOnce(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	l := begin(t, cmd)
	l.signal(t, syscall.SIGINT)
	return l.end(t)
}

const interrupted = "tcpmangle: interrupted, cleaning up; once more ends at once\n"

func wantInterrupted(t *testing.T, o outcome) {
	t.Helper()
	if n := strings.Count(o.stderr, interrupted); n != 1 {
		t.Errorf("the message came %d times, want once:\n%s", n, o.stderr)
	}
	has(t, "report", o.stdout, "\nOPEN  client TIME_WAIT within 10m0s\n", "\ninterrupted: what is OPEN was not decided by then\n",
		"\nINTERRUPTED  ")
	if strings.Contains(o.stdout, "FAIL") {
		t.Errorf("nothing has failed:\n%s", o.stdout)
	}
}

// The first Ctrl-C ends the experiment in order, with its report.
func TestInterrupt(t *testing.T) {
	needLab(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			l := begin(t, command(t, "lab", "-v", "testdata/long.toml"))
			left := traces(t, l.Process.Pid, home)
			l.signal(t, sig)
			o := l.end(t)
			o.wants(t, 128+int(sig))
			wantInterrupted(t, o)
			left.areGone(t)
		})
	}
}

// The second one does not wait: here for somebody to read the report.
func TestInterruptTwice(t *testing.T) {
	needLab(t)
	cmd := command(t, "lab", "-v", "testdata/long.toml")
	cmd.Stdout = fullPipe(t)
	l := begin(t, cmd)
	left := traces(t, l.Process.Pid, home)
	l.signal(t, syscall.SIGINT)
	l.await(t, interrupted)
	time.Sleep(300 * time.Millisecond) // the report is stuck by then, and else this proves less
	l.signal(t, syscall.SIGINT)
	began := time.Now()
	l.end(t).wants(t, 130)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("ended after %v, want at once", took) // nobody will ever read
	}
	left.areGone(t)
}

// fullPipe is a pipe that nobody reads and that takes not one byte more.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	w.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	for err == nil {
		_, err = w.Write(make([]byte, 4096))
	}
	return w
}

// A killed process takes with it all that it has made: this is tried where no other
// test makes devices and routes, in a network namespace of its own.
func TestKill(t *testing.T) {
	needRoot(t)
	machine, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	before := network(t, machine)

	var l *lasting
	err = machine.Do(func() error {
		cmd := command(t, "lab", "-v", "testdata/long.toml")
		cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir()) // a killed lab leaves its programs' folder
		l = begin(t, cmd)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	left := traces(t, l.Process.Pid, netnsOf(fmt.Sprintf("/proc/self/fd/%d", machine.FD())))
	l.signal(t, syscall.SIGKILL)
	l.end(t).wants(t, -1)
	left.areGone(t)
	if after := network(t, machine); after != before {
		t.Errorf("devices and routes before\n%s\nand after\n%s", before, after)
	}
}

// network is what a namespace has of devices and routes.
func network(t *testing.T, ns *netns.NS) (text string) {
	t.Helper()
	err := ns.Do(func() error {
		for _, file := range []string{"route", "ipv6_route", "if_inet6"} {
			lines, _ := os.ReadFile("/proc/thread-self/net/" + file) // missing without IPv6
			text += file + "\n" + string(lines)
		}
		devices, err := os.ReadFile("/proc/thread-self/net/dev")
		for line := range strings.Lines(string(devices)) {
			name, _, _ := strings.Cut(line, ":") // the numbers behind it count packets
			text += name + "\n"
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What a process holds that must not outlive it: the processes below it, and the
// network namespaces of all of these that are not ours.
type held struct {
	pids       map[int]string // start time: a pid alone may be used again
	namespaces map[string]bool
}

// processes of testdata/long.toml: the command, the program with the shell that guards
// it, and its child.
const processes = 4

// patience is how long what must come is waited for.
const patience = 30 * time.Second

// home is the network namespace of the tests, before any of their threads has left it.
var home = netnsOf("/proc/thread-self/ns/net")

// traces looks at a lab that was started in a namespace, once all of it is there.
func traces(t *testing.T, pid int, from string) (h *held) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		h = &held{map[int]string{}, map[string]bool{}}
		h.descend(pid)
		delete(h.namespaces, from)
		// What is there has to be seen, or that it has gone would mean nothing.
		if len(h.namespaces) == 2 && len(h.pids) == processes && len(h.left()) >= processes+2 {
			return h
		}
	}
	t.Fatalf("the lab has namespaces %v and processes %v, want two hosts and %d processes", h.namespaces, h.pids, processes)
	return nil
}

func (h *held) descend(pid int) {
	h.pids[pid] = started(pid)
	for ns := range namespacesOf(pid) {
		h.namespaces[ns] = true
	}
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range children {
		list, _ := os.ReadFile(file)
		for word := range strings.FieldsSeq(string(list)) {
			child, _ := strconv.Atoi(word)
			h.descend(child)
		}
	}
}

// namespacesOf are the network namespaces that a process is in or keeps open.
func namespacesOf(pid int) map[string]bool {
	found := map[string]bool{}
	for _, pattern := range []string{"/proc/%d/task/*/ns/net", "/proc/%d/fd/*"} {
		links, _ := filepath.Glob(fmt.Sprintf(pattern, pid))
		for _, link := range links {
			if ns := netnsOf(link); ns != "" {
				found[ns] = true
			}
		}
	}
	return found
}

// netnsOf is the network namespace that a link of /proc leads to, if it does.
func netnsOf(link string) string {
	target, _ := os.Readlink(link)
	if !strings.HasPrefix(target, "net:[") {
		return ""
	}
	return target
}

// started is when a process began, in the kernel's ticks; empty if there is none or
// it is dead already.
func started(pid int) string {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(stat), ") ")
	if fields := strings.Fields(rest); ok && fields[0] != "Z" && fields[0] != "X" {
		return fields[19]
	}
	return ""
}

// areGone waits until nothing is left: a namespace is taken
// down after the last process has left it.
func (h *held) areGone(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for left := h.left(); len(left) > 0; left = h.left() {
		if time.Now().After(deadline) {
			t.Errorf("left behind: %v", left)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (h *held) left() (what []string) {
	for pid, at := range h.pids {
		if now := started(pid); now != "" && now == at {
			what = append(what, fmt.Sprintf("process %d", pid))
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range procs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		for ns := range namespacesOf(pid) {
			if h.namespaces[ns] {
				what = append(what, fmt.Sprintf("%s at process %d", ns, pid))
			}
		}
	}
	slices.Sort(what)
	return what
}

// Nobody has to read what exec and run say: a pipe into head does not keep them from undoing what
// they have set up.
func TestNobodyReads(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	before := nstest.Face(t, host)
	r, w, err := os.Pipe()
	nstest.Must(t, err)
	cmd := executing(t, nil, "true")
	cmd.Stderr = w
	nstest.Must(t, r.Close())
	on(t, host, cmd)
	cmd.Wait() // with which status nobody gets to know, behind a pipe
	nstest.SameFace(t, host, before)

	args, api := runArgs(t, "-f", written(t, "r.toml", aRule), "--proxy", "198.18.0.2:1=127.0.0.1:1")
	cmd = command(t, args...)
	r, w, err = os.Pipe()
	nstest.Must(t, err)
	cmd.Stderr = w
	on(t, host, cmd)
	if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	nstest.Must(t, errors.Join(r.Close(), w.Close()))
	_, err = api.Reload(t.Context()) // which it says
	nstest.Must(t, err)
	nstest.Must(t, cmd.Process.Signal(syscall.SIGTERM))
	if status := statusOf(t, cmd.Wait()); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	nstest.SameFace(t, host, before)
}
