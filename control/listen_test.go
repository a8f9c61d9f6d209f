package control_test

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/tcpmangle/tcpmangle/control"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// Others than the owner and the group cannot connect, whatever the umask is.
func TestSocketMode(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	for _, umask := range []int{0, 0o022, 0o777} {
		path := nstest.Socket(t)
		syscall.Umask(umask)
		l, err := control.Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("umask %o: mode %v, %v", umask, info.Mode(), err)
		}
		l.Close()
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is there still: %v", err)
		}
		syscall.Umask(0)
	}
}

// A socket that a killed process has left is replaced; one that is in use is not, nor
// is a file.
func TestStaleSocket(t *testing.T) {
	path := nstest.Socket(t)
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.Listen(path); err == nil || !strings.Contains(err.Error(), "an instance listens at") {
		t.Errorf("in use: %v", err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()
	l, err := control.Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Listen(path); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file: %v", err)
	}
}

// Only what is dead is swept.
func TestSweep(t *testing.T) {
	path := nstest.Socket(t)
	sweeps := func(want bool) {
		t.Helper()
		if got, err := control.Sweep(path); got != want || err != nil {
			t.Errorf("swept %v, %v; want %v", got, err, want)
		}
	}
	sweeps(false)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	sweeps(false)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	sweeps(true)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("it is there still")
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	sweeps(false)
	path = "127.0.0.1:1"
	sweeps(false)
}

// At an address at which Serve would not answer nobody listens.
func TestListenAsServed(t *testing.T) {
	r := newRig(t, noRules, 1)
	if _, err := r.Listen("0.0.0.0:0"); err == nil || !strings.Contains(err.Error(), "needs a token; set $TCPMANGLE_TOKEN") {
		t.Errorf("%v", err)
	}
	guarded := control.New(control.Config{Engine: r.eng, Token: "secret"})
	for address, s := range map[string]*control.Server{"127.0.0.1:0": r.Server, nstest.Socket(t): r.Server, "0.0.0.0:0": guarded} {
		l, err := s.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}

func TestListenTCP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "tcp:127.0.0.1:0", "http://127.0.0.1:0"} {
		l, err := control.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		if l.Addr().Network() != "tcp" {
			t.Errorf("%s is %s", address, l.Addr().Network())
		}
		l.Close()
	}
	for _, address := range []string{"", "localhost", "unix:", "http://localhost:1/x"} {
		if l, err := control.Listen(address); err == nil {
			t.Errorf("%q is an address: %v", address, l.Addr())
		}
	}
}
