package script

import (
	"errors"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Names of failures that are no errno.
const (
	EOF        = "EOF"        // the stream ended before all bytes came
	Mismatch   = "MISMATCH"   // other bytes came than expected
	Unresolved = "UNRESOLVED" // the host's name has no address
	Success    = "SUCCESS"    // the command worked although an error was expected
)

// A named error has one of the names above.
type named struct {
	name string
	msg  string
}

func (e *named) Error() string { return e.msg }

var errEOF = &named{EOF, EOF}

// nameOf is the name of an error, as ECONNRESET. An error that has none is
// called ERROR.
func nameOf(err error) string {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		if name := unix.ErrnoName(errno); name != "" {
			return name
		}
	}
	if n, ok := errors.AsType[*named](err); ok {
		return n.name
	}
	return "ERROR"
}

// errorNames lists what expect-error may name.
var errorNames = sync.OnceValue(func() []string {
	names := []string{EOF, Mismatch, Unresolved}
	for errno := range unix.Errno(134) { // EHWPOISON is 133, the last
		if name := unix.ErrnoName(errno); name != "" {
			names = append(names, name)
		}
	}
	return names
})

func isErrorName(s string) bool { return slices.Contains(errorNames(), s) }
