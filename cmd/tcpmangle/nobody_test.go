package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// nobody is a user who owns nothing.
const nobody = 65534

// readable is a folder that nobody may read, with copies of some files of testdata.
func readable(t *testing.T, files ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "tcpmangle") // what TMPDIR names may be the user's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join("testdata", f))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f), text, 0o644)
		}
		if err == nil {
			err = os.Chmod(filepath.Join(dir, f), 0o644) // whatever the umask is
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Where the device may not be opened a lab says which, and what mends it.
func TestLabWithoutTheDevice(t *testing.T) {
	needRoot(t)
	info, err := os.Stat("/dev/net/tun")
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o006 != 0 {
		t.Skip("everybody may open /dev/net/tun here")
	}
	cmd := command(t, "lab", "exchange.toml")
	cmd.Dir = readable(t, "exchange.toml")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	o := finish(t, cmd)
	o.wants(t, 3)
	want := "tcpmangle: /dev/net/tun: permission denied\nhint: run as root, or chmod 0666 /dev/net/tun\n"
	if o.stderr != want || o.stdout != "" {
		t.Errorf("got %q and %q, want %q and silence", o.stderr, o.stdout, want)
	}
}

// nobodysLab prepares a lab without root, in a mount namespace where everybody may
// open /dev/net/tun.
func nobodysLab(t *testing.T, file string, flags ...string) *exec.Cmd {
	t.Helper()
	needRoot(t)
	cmd := command(t, append([]string{"lab", file}, flags...)...)
	cmd.Dir = readable(t, file)
	cmd.Env = append(cmd.Env, testRole+"="+roleNobody, "TMPDIR=/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	return cmd
}

// becomeNobody plays roleNobody: it makes the device node, gives up root and goes on
// as the command.
func becomeNobody() {
	err := openDevice()
	if err == nil {
		os.Setenv(testRole, roleCommand)
		err = giveUpRoot()
	}
	if err == nil {
		err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	fmt.Println("become nobody:", err)
	os.Exit(99)
}

// openDevice covers /dev/net/tun by a node that everybody may open; the namespace of
// mounts is our own, so nobody else sees it.
func openDevice() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	dir := os.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		return err
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	node := filepath.Join(dir, "tun")
	if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))); err != nil {
		return err
	}
	if err := os.Chmod(node, 0o666); err != nil {
		return err
	}
	return unix.Mount(node, "/dev/net/tun", "", unix.MS_BIND, "")
}

func giveUpRoot() error {
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(nobody); err != nil {
		return err
	}
	return syscall.Setuid(nobody)
}

// needUserNS skips where the machine gives nobody a user namespace.
func needUserNS(t *testing.T, o outcome) {
	t.Helper()
	if o.status == exitMachine && strings.Contains(o.stderr, "a user namespace") {
		lacking(t, "TCPMANGLE_REQUIRE_TUN", o.stderr)
	}
}

// Without root, but with the device, the lab runs in a user namespace of its own.
func TestLabWithoutRoot(t *testing.T) {
	o := finish(t, nobodysLab(t, "exchange.toml"))
	needUserNS(t, o)
	o.wants(t, 0)
	has(t, "report", o.stdout, "PASS  rule lose-fin fired 1", "PASS  exchange.toml in ")
	if o.stderr != "" {
		t.Errorf("got %q on standard error, want silence", o.stderr)
	}
}

// The command reads its files before it begins again in there, so that a pipe would be empty.
func TestLabWithoutRootFromAPipe(t *testing.T) {
	cmd := nobodysLab(t, "exchange.toml")
	cmd.Args[len(cmd.Args)-1] = "/dev/stdin"
	r, w, err := os.Pipe()
	nstest.Must(t, err)
	defer r.Close()
	nstest.Must(t, r.Chown(nobody, nobody))
	text, err := os.ReadFile("testdata/exchange.toml")
	nstest.Must(t, err)
	_, err = w.Write(text)
	nstest.Must(t, errors.Join(err, w.Close()))
	cmd.Stdin = r
	o := finish(t, cmd)
	needUserNS(t, o)
	o.wants(t, 2)
	has(t, "standard error", o.stderr, "tcpmangle: without root a lab is read twice: /dev/stdin: it is no regular file, and cannot be read again\n")
}

// The child's exit status is the command's.
func TestLabWithoutRootFails(t *testing.T) {
	o := finish(t, nobodysLab(t, "never.toml"))
	needUserNS(t, o)
	o.wants(t, 1)
	has(t, "report", o.stdout, "FAIL  rule syn-from-server never fired")
}

// One Ctrl-C, one message.
func TestInterruptWithoutRoot(t *testing.T) {
	o := interruptOnce(t, nobodysLab(t, "long.toml", "-v"))
	needUserNS(t, o)
	o.wants(t, 130)
	wantInterrupted(t, o)
}
