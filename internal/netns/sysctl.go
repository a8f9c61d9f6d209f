package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// What can be wrong with a sysctl, besides the machine; for errors.Is.
var (
	// ErrUnknownSysctl: no such key in a network namespace. Some keys exist
	// only on the host, tcp_mem and tcp_max_orphans for example.
	ErrUnknownSysctl = errors.New("unknown key in a network namespace")
	// ErrHostSysctl: the key belongs to the whole machine.
	ErrHostSysctl = errors.New("not a key under net., it would change the whole machine")
	// ErrSysctlValue: the kernel refuses the value.
	ErrSysctlValue = errors.New("the kernel refuses the value")
	// ErrReadOnlySysctl: the key, or all of /proc/sys, cannot be written.
	ErrReadOnlySysctl = errors.New("cannot be written")
)

// A SysctlError says which key failed and why.
type SysctlError struct {
	Key   string // as it was given
	Value string // what was to be written; empty when reading
	Err   error  // one of the errors above, wrapped with the kernel's, or another
}

func (e *SysctlError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("sysctl %s: %v", e.Key, e.Err)
	}
	return fmt.Sprintf("sysctl %s = %s: %v", e.Key, e.Value, e.Err)
}

func (e *SysctlError) Unwrap() error { return e.Err }

// Sysctl sets a key of the namespace. A key without a dot is one of net.ipv4;
// with slashes for dots it may name a device that has a dot in its name. Any
// error is a *SysctlError.
func (n *NS) Sysctl(key, value string) error {
	file, err := sysctlFile(key)
	if err == nil {
		err = n.Do(func() error { return writeSysctl(file, value) })
	}
	if err != nil {
		return &SysctlError{Key: key, Value: value, Err: err}
	}
	return nil
}

// SysctlGet reads a key of the namespace, written as for Sysctl.
func (n *NS) SysctlGet(key string) (string, error) {
	file, err := sysctlFile(key)
	var text []byte
	if err == nil {
		err = n.Do(func() (err error) {
			text, err = os.ReadFile(file)
			return sysctlCause(err)
		})
	}
	if err != nil {
		return "", &SysctlError{Key: key, Err: err}
	}
	return strings.TrimSpace(string(text)), nil
}

// sysctlFile returns the file of a key. What is under /proc/sys/net belongs to
// the network namespace of the thread that opens it.
func sysctlFile(key string) (string, error) {
	name := key
	switch {
	case strings.Contains(key, "/"):
	case strings.Contains(key, "."):
		name = strings.ReplaceAll(key, ".", "/")
	default:
		name = "net/ipv4/" + key
	}
	if key == "" || name != path.Clean(name) {
		return "", ErrUnknownSysctl
	}
	if !strings.HasPrefix(name, "net/") {
		return "", ErrHostSysctl
	}
	return "/proc/sys/" + name, nil
}

func writeSysctl(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return sysctlCause(err)
	}
	defer f.Close()
	if _, err = f.WriteString(value + "\n"); err != nil {
		return fmt.Errorf("%w: %w", ErrSysctlValue, bare(err))
	}
	return nil
}

// sysctlCause says in our words why a key could not be opened or read.
func sysctlCause(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return ErrUnknownSysctl
	default:
		return fmt.Errorf("%w: %w", ErrReadOnlySysctl, bare(err))
	}
}

// bare takes the path off an error that is told with its key.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
