package inline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command prepares a program for a Cell: it is to be started in the cell's namespace (NS.Do)
// and lives in a mount namespace of its own, with its own names. helper is how this very
// program is called so that it calls Enter.
func Command(names *Names, helper []string, argv ...string) (*exec.Cmd, error) {
	file, err := names.file()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", append(helper, argv...)...)
	cmd.Args[0] = os.Args[0]
	cmd.ExtraFiles = []*os.File{file}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// file is the names in an open file that has no name.
func (n *Names) file() (*os.File, error) {
	text, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "tcpmangle-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	if _, err := f.Write(text); err != nil {
		return nil, err
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, err
}

// namesFD is where a helper finds the names.
const namesFD = 3

// Enter is the part of the helper: it puts the names in their places and becomes the
// program. It returns only if that fails; the error of a program that is not there is exec.ErrNotFound.
func Enter(argv []string) error {
	file := os.NewFile(namesFD, "names")
	text, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	file.Close()
	var names Names
	if err := json.Unmarshal(text, &names); err != nil {
		return err
	}
	if err := names.mount(); err != nil {
		return err
	}
	path, err := exec.LookPath(argv[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return err
	}
	if err := dieWithParent(); err != nil {
		return err
	}
	return syscall.Exec(path, argv, os.Environ())
}

// dieWithParent renews, on the thread that becomes the program, what Command has asked for: the
// kernel keeps the wish for each thread, the first one has it, and with execve the others end.
func dieWithParent() error {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("die with the parent: %w", err)
	}
	return nil
}

// mount lays the names over those of the host, for nobody outside of the mount namespace.
func (n *Names) mount() error {
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := cover(n.Resolv, resolvFile); err != nil {
		return err
	}
	return cover(n.Hosts, hostsFile)
}

// cover shows a text in the place of a file that is there. The text has no name of its own
// afterwards, so nothing is left of it when the program has ended.
func cover(text, path string) error {
	if text == "" {
		return nil
	}
	f, err := os.CreateTemp("", "tcpmangle-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	if err := syscall.Mount(f.Name(), path, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("lay over %s: %w", path, err)
	}
	return nil
}
