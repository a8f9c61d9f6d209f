package inline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	if folder := os.Getenv("XDG_RUNTIME_DIR"); ownerOf(folder) == os.Geteuid() { // sudo may keep another user's
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
	if owner := ownerOf(stateDir); stateDir != defaultState && owner != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d", stateDir, owner)
	}
	return nil
}

// ownerOf is the user to whom a file belongs, or the link of that name; -1 if there is none.
func ownerOf(path string) int {
	var s syscall.Stat_t
	if syscall.Lstat(path, &s) != nil {
		return -1
	}
	return int(s.Uid)
}

// readState reads a file of the folder. The folder may be that of a user whom root has let in, who
// has no say in what else root reads, or for how long: no link is followed, no pipe waited for.
func readState(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fs.ErrInvalid)
	}
	return io.ReadAll(f)
}

// writeState makes or replaces a file of the folder in one step: a reader sees the old one or the
// new one. Everybody may read it, for other users' ways in have to know of it.
func writeState(file string, text []byte) error {
	f, err := os.CreateTemp(stateDir, filepath.Base(file)+"~*") // a new one, and nothing that a link names
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
