package inline

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// defaultState is where records lie, for as long as the machine runs.
const defaultState = "/run/tcpmangle"

// stateDir is changed by tests.
var stateDir = stateFolder(defaultState)

// stateFolder is the usual folder where we may write it, or make it. A user who has the right to
// make devices but not to write there, as by file capabilities, has one of his own; what it
// tells of is undone by this user's next start.
func stateFolder(usual string) string {
	const write = 2
	err := syscall.Access(usual, write)
	if err == syscall.ENOENT {
		err = syscall.Access(filepath.Dir(usual), write)
	}
	if err == nil || err == syscall.ENOENT {
		return usual
	}
	if folder := os.Getenv("XDG_RUNTIME_DIR"); folder != "" {
		return filepath.Join(folder, filepath.Base(usual))
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("%s-%d", filepath.Base(usual), os.Geteuid()))
}

// makeState makes the folder. One of somebody else's is not trusted: what its records say
// is written to sysctls. Root is at the mercy of nobody whom it has not let in.
func makeState() error {
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return err
	}
	var s syscall.Stat_t
	if err := syscall.Lstat(stateDir, &s); err != nil {
		return &os.PathError{Op: "lstat", Path: stateDir, Err: err}
	}
	if stateDir != defaultState && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d", stateDir, s.Uid)
	}
	return nil
}
