package inline

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	if got, want := stateFolder(notOurs), "/run/user/7/tcpmangle"; got != want {
		t.Errorf("with a folder of the user's: %s, want %s", got, want)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	if got, want := stateFolder(notOurs), fmt.Sprintf("%s/tcpmangle-%d", os.TempDir(), os.Geteuid()); got != want {
		t.Errorf("without one: %s, want %s", got, want)
	}
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
