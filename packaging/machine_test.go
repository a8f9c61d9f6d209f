package packaging

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// patience is how long a test waits for what takes a moment.
const patience = time.Minute

// A machine is one that is thrown away (testdata/machine.sh). Only the kernel is this machine's.
type machine struct {
	init int       // its first process, by the number that it has here
	net  *netns.NS // its network
}

// boot starts a machine, and returns once it is up.
func boot(t *testing.T) *machine {
	t.Helper()
	needMachine(t)
	cgroup := newCgroup(t)
	var said strings.Builder
	cmd := exec.Command("testdata/machine.sh", t.TempDir())
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		UseCgroupFD: true, CgroupFD: int(cgroup.Fd()),
		Pdeathsig: syscall.SIGKILL,
	}
	nstest.Must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended; ended <- nil })
	m := &machine{init: cmd.Process.Pid}
	eventually(t, "the machine is up", func() error {
		select {
		case err := <-ended:
			ended <- err
			lacking(t, fmt.Sprintf("no machine can be started here: %v\n%s", err, said.String()))
		default:
		}
		_, err := m.try("systemctl", "is-active", "multi-user.target")
		return err
	})
	t.Cleanup(func() {
		if t.Failed() {
			said, err := m.try("journalctl", "--no-pager", "--output=short-monotonic")
			t.Logf("the journal: %s%v", said, err)
		}
	})
	var err error
	m.net, err = netns.Open(fmt.Sprintf("/proc/%d/ns/net", m.init))
	nstest.Must(t, err)
	t.Cleanup(func() { m.net.Close() })
	return m
}

// needMachine skips where no machine can be started.
func needMachine(t *testing.T) {
	t.Helper()
	built(t, "*.deb")
	if os.Geteuid() != 0 {
		lacking(t, "only root can start a machine")
	}
	for _, program := range []string{"/usr/lib/systemd/systemd", "systemctl", "nsenter", "unshare", "dpkg", "groupadd", "setcap", "rpm", "ip", "pgrep"} {
		if _, err := exec.LookPath(program); err != nil {
			lacking(t, err.Error())
		}
	}
}

// lacking skips the test for a reason, or fails it where that is forbidden.
func lacking(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("TCPMANGLE_REQUIRE_PACKAGES") == "1" {
		t.Fatal("TCPMANGLE_REQUIRE_PACKAGES=1, but: " + why)
	}
	t.Skip(why)
}

// newCgroup makes a cgroup for a machine. systemd makes others in it.
func newCgroup(t *testing.T) *os.File {
	t.Helper()
	top, err := cgroups()
	if err != nil {
		lacking(t, err.Error())
	}
	path, err := os.MkdirTemp(top, "tcpmangle-")
	if err != nil {
		lacking(t, err.Error())
	}
	t.Cleanup(func() { eventually(t, "the cgroup is empty", func() error { return removeCgroup(path) }) })
	file, err := os.Open(path)
	nstest.Must(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

// cgroups is where the tree of cgroups of version 2 is mounted.
func cgroups() (string, error) {
	mounts, err := os.Open("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	defer mounts.Close()
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		if f := strings.Fields(lines.Text()); f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", errors.New("no cgroup2 is mounted")
}

// removeCgroup removes a cgroup and those in it.
func removeCgroup(path string) error {
	inside, err := filepath.Glob(filepath.Join(path, "*", "cgroup.procs"))
	if err != nil {
		return err
	}
	for _, file := range inside {
		if err := removeCgroup(filepath.Dir(file)); err != nil {
			return err
		}
	}
	return syscall.Rmdir(path)
}

// command prepares a command on the machine, as its root.
func (m *machine) command(args ...string) *exec.Cmd { return m.commandAs(0, 0, args...) }

// commandAs prepares one as a user and group.
func (m *machine) commandAs(user, group int, args ...string) *exec.Cmd {
	enter := []string{"--target", fmt.Sprint(m.init), "--all", "--root", "--wd"}
	if user != 0 {
		enter = append(enter, fmt.Sprintf("--setuid=%d", user), fmt.Sprintf("--setgid=%d", group))
	}
	cmd := exec.Command("nsenter", append(append(enter, "--"), args...)...)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/",
		"DEBIAN_FRONTEND=noninteractive",
	}
	return cmd
}

// try runs a command on the machine; the error has what it said.
func (m *machine) try(args ...string) (said string, err error) {
	return output(m.command(args...))
}

// run runs one that has to succeed.
func (m *machine) run(t *testing.T, args ...string) (said string) {
	t.Helper()
	said, err := m.try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// output runs a prepared command; the error has what it said.
func output(cmd *exec.Cmd) (said string, err error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out), err
}

// path is where a file of the machine is found from here.
func (m *machine) path(file string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", m.init), file)
}

// write makes or replaces a file of the machine.
func (m *machine) write(t *testing.T, file, text string) {
	t.Helper()
	nstest.Must(t, os.WriteFile(m.path(file), []byte(text), 0o644))
}

// read is what stands in one.
func (m *machine) read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(m.path(file))
	nstest.Must(t, err)
	return string(text)
}

// take copies a file of this machine to the other, into /.
func (m *machine) take(t *testing.T, file string) (there string) {
	t.Helper()
	text, err := os.ReadFile(file)
	nstest.Must(t, err)
	there = "/" + filepath.Base(file)
	m.write(t, there, string(text))
	return there
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", patience, what, err)
		}
	}
}
