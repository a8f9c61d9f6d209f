package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// A machine is where engines of containers run: one with processes, mounts and a network
// of its own. This one is not touched, and nothing is left when the test ends, however it
// does.
//
//	elsewhere ── eth0 ──► container ┐
//	(nstest)              engine    ├ processes, mounts
//	                      tcpmangle ┘
type machine struct {
	ns    *netns.NS // what is no container's
	first int       // its first process, as it is counted here
}

// newMachine starts one, where the programs of an engine are installed.
func newMachine(t *testing.T, engine ...string) *machine {
	t.Helper()
	needRoot(t)
	for _, program := range append(engine, "crun") {
		if _, err := exec.LookPath(program); err != nil {
			lacking(t, "TCPMANGLE_REQUIRE_CONTAINERS", err.Error()+"; testdata/containers/install.sh installs it")
		}
	}
	cmd := exec.Command("sh", "testdata/containers/machine.sh")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	nstest.Must(t, err)
	stdout, err := cmd.StdoutPipe()
	nstest.Must(t, err)
	nstest.Must(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the machine said %q, %v\n%s", line, err, stderr.String())
	}
	m := &machine{first: cmd.Process.Pid}
	m.ns = openNS(t, fmt.Sprintf("/proc/%d/ns/net", m.first))
	nstest.Must(t, m.ns.LinkUp("lo"))
	return m
}

// openNS is a namespace of others, for as long as the test runs. No device in it will get
// addresses by itself.
func openNS(t *testing.T, path string) *netns.NS {
	t.Helper()
	ns, err := netns.Open(path)
	nstest.Must(t, err)
	t.Cleanup(func() { ns.Close() })
	nstest.Must(t, ns.Sysctl("net.ipv6.conf.default.addr_gen_mode", "1"))
	return ns
}

// command prepares a call on the machine.
func (m *machine) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	conf, err := filepath.Abs("testdata/containers/containers.conf")
	nstest.Must(t, err)
	cmd := exec.CommandContext(t.Context(), testBinary(t), append([]string{fmt.Sprint(m.first)}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second // should nobody pass that on any more
	cmd.Env = append(command(t).Env, testRole+"="+roleInside, "CONTAINERS_CONF="+conf)
	return cmd
}

// tcpmangle prepares a call of the command on the machine.
func (m *machine) tcpmangle(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return m.command(t, append([]string{testBinary(t)}, args...)...)
}

// run calls a program on the machine, which has to succeed, and returns what it has printed.
func (m *machine) run(t *testing.T, args ...string) string {
	t.Helper()
	o := finish(t, m.command(t, args...))
	if o.status != 0 {
		t.Fatalf("%s: exit status %d\n%s%s", strings.Join(args, " "), o.status, o.stdout, o.stderr)
	}
	return strings.TrimSpace(o.stdout)
}

// serve runs a program on the machine until the test ends, and returns when it listens at a
// unix socket.
func (m *machine) serve(t *testing.T, socket string, args ...string) {
	t.Helper()
	cmd := m.command(t, args...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	nstest.Must(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.Wait(); t.Failed() {
			t.Logf("%s:\n%s", args[0], log.String())
		}
	})
	until(t, args[0]+" listens", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/root%s", m.first, socket))
		return err == nil
	})
}

// inside plays roleInside: it has a command on the machine with this first process, and
// stands for it here, where the test sends signals.
func inside(first string, args ...string) int {
	runtime.LockOSThread() // whose namespaces the child has
	os.Setenv(testRole, roleCommand)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	pass, stop := netns.PassSignals()
	defer stop()
	err := enter("/proc/"+first+"/ns/", "net", "pid", "mnt")
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	pass(cmd.Process)
	status, err := netns.ExitStatus(cmd.Wait())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return status
}

// enter takes this thread into namespaces, by their files.
func enter(folder string, kinds ...string) error {
	err := unix.Unshare(unix.CLONE_FS) // else the mounts would be those of all threads
	for _, kind := range kinds {
		if err != nil {
			return err
		}
		var fd int
		if fd, err = unix.Open(folder+kind, unix.O_CLOEXEC, 0); err == nil {
			err = unix.Setns(fd, 0)
			unix.Close(fd)
		}
	}
	return err
}

// testBinary is the path of this program.
func testBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	nstest.Must(t, err)
	return path
}
