package inline

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// Who is not shown when a process was started, as with hidepid=2, does not take it for dead.
func TestAliveWithoutProc(t *testing.T) {
	nstest.NeedTUN(t) // root
	self, gone := os.Getpid(), exec.CommandContext(t.Context(), "true")
	must(t, gone.Run())
	for _, row := range []struct {
		name   string
		record record
		hidden bool
		want   bool
	}{
		{"ours", record{PID: self, Started: startOf(self)}, false, true},
		{"ours unseen", record{PID: self, Started: startOf(self)}, true, true},
		{"another one with its number", record{PID: self, Started: "1"}, false, false},
		{"gone", record{PID: gone.Process.Pid, Started: "1"}, false, false},
		{"gone unseen", record{PID: gone.Process.Pid, Started: "1"}, true, false},
		{"nobody's", record{}, true, false},
		{"that of a group", record{PID: -1, Started: "1"}, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var is bool
			look := func() { is = alive(&row.record) }
			if row.hidden {
				must(t, withoutProc(look))
			} else {
				look()
			}
			if is != row.want {
				t.Errorf("alive: %v, want %v", is, row.want)
			}
		})
	}
}

// withoutProc calls f where /proc is empty: on a thread that ends with it. The first thread of a
// process would not.
func withoutProc(f func()) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			err = withoutProc(f)
			runtime.UnlockOSThread()
		} else if err = hideProc(); err == nil {
			f()
		}
	}()
	<-done
	return err
}

// hideProc lays an empty folder over /proc, for this thread alone.
func hideProc() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("none", "/proc", "tmpfs", syscall.MS_RDONLY, "")
}
