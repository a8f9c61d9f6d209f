package inline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Records lie where everybody looks for them, or else where this user may write.
func TestStateFolder(t *testing.T) {
	folder := t.TempDir()
	usual := filepath.Join(folder, "tcpmangle")
	if got := stateFolder(usual); got != usual {
		t.Errorf("before it is there: %s, want %s", got, usual)
	}
	must(t, os.Mkdir(usual, 0o755))
	if got := stateFolder(usual); got != usual {
		t.Errorf("where it is there: %s, want %s", got, usual)
	}
	file := filepath.Join(folder, "file")
	must(t, os.WriteFile(file, nil, 0o644))
	notOurs := filepath.Join(file, "tcpmangle") // not even root's
	runtime := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	if got, want := stateFolder(notOurs), filepath.Join(runtime, "tcpmangle"); got != want {
		t.Errorf("with a folder of the user's: %s, want %s", got, want)
	}
	temporary := fmt.Sprintf("%s/tcpmangle-%d", os.TempDir(), os.Geteuid())
	t.Setenv("XDG_RUNTIME_DIR", "")
	if got := stateFolder(notOurs); got != temporary {
		t.Errorf("without one: %s, want %s", got, temporary)
	}
	if os.Geteuid() == 0 { // who can give it away
		t.Setenv("XDG_RUNTIME_DIR", runtime)
		must(t, os.Chown(runtime, 1, 1))
		if got := stateFolder(notOurs); got != temporary {
			t.Errorf("with another user's, as sudo may keep it: %s, want %s", got, temporary)
		}
	}
}

// Links that somebody else has put into the folder lead nowhere: what they name stays as it is.
func TestStateFollowsNoLinks(t *testing.T) {
	host := newHost(t)
	s := begun(t, host)
	theirs := filepath.Join(t.TempDir(), "theirs")
	must(t, os.WriteFile(theirs, []byte("words"), 0o600))
	must(t, os.Symlink(theirs, s.file+"~"))
	must(t, os.Remove(s.file))
	must(t, os.Symlink(theirs, s.file))
	must(t, s.save())
	if text, err := os.ReadFile(theirs); err != nil || string(text) != "words" {
		t.Errorf("a record was written to what a link named: %q, %v", text, err)
	}
	must(t, s.undo())
	lock := filepath.Join(stateDir, "lock")
	must(t, os.Remove(lock))
	must(t, os.Symlink(filepath.Join(t.TempDir(), "new"), lock))
	if err := Sweep(host); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a link in the place of the lock: %v, want %v", err, syscall.ELOOP)
	}
}

// Only a file is a record: who reads a pipe waits for ever.
func TestRecordsAreFiles(t *testing.T) {
	host := newHost(t)
	s := begun(t, host)
	pipe := filepath.Join(stateDir, "setup-1.json")
	must(t, syscall.Mkfifo(pipe, 0o600))
	done := make(chan error, 1)
	go func() { done <- Sweep(host) }()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(time.Minute):
		t.Fatal("it waits for what somebody may write into a pipe")
	}
	if _, err := os.Lstat(pipe); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the pipe is there still: %v", err)
	}
	must(t, s.undo())
}

// Records in a folder that is another user's are not believed.
func TestStateOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder away")
	}
	old := stateDir
	t.Cleanup(func() { stateDir = old })
	stateDir = t.TempDir()
	must(t, makeState())
	must(t, syscall.Chown(stateDir, 1, 1))
	if err := makeState(); err == nil || !strings.Contains(err.Error(), "belongs to user 1") {
		t.Errorf("%v, want the owner to be told", err)
	}
}
