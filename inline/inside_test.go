package inline

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test binary is also the helper of Command, and a command that tells by which signal it dies
// with its parent.
const (
	roleVar   = "TCPMANGLE_INLINE_ROLE"
	roleEnter = "enter"
	roleTell  = "tell"
)

// In a role the main goroutine stays on the first thread: the kernel keeps the signal for each.
func init() {
	if os.Getenv(roleVar) != "" {
		runtime.LockOSThread()
	}
}

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case roleEnter:
		failed := make(chan error)
		go func() { failed <- Enter(os.Args[1:]) }() // on another thread than the first
		fmt.Println(<-failed)
		os.Exit(1)
	case roleTell:
		var signal int32
		err := unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&signal)), 0, 0, 0)
		fmt.Println(syscall.Signal(signal), err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A command dies with us, whichever thread of the helper has become it.
func TestCommandDiesWithItsParent(t *testing.T) {
	exe, err := os.Executable()
	must(t, err)
	cmd, err := Command(&Names{}, nil, "env", roleVar+"="+roleTell, exe)
	must(t, err)
	cmd.Env = append(os.Environ(), roleVar+"="+roleEnter, "GORACE=atexit_sleep_ms=0")
	said, err := cmd.CombinedOutput()
	if got := strings.TrimSpace(string(said)); err != nil || got != "killed <nil>" {
		t.Errorf("the command said %q, %v; want that it is killed", got, err)
	}
}
