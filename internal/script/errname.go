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
	Other      = "ERROR"      // anything else, as when the namespace cannot be entered
)

// A named error has one of the names above, and says more in its message.
type named struct {
	name string
	msg  string
}

func (e *named) Error() string { return e.msg }

var errEOF = &named{EOF, EOF}

// nameOf is the name of an error, as ECONNRESET.
func nameOf(err error) string {
	if n, ok := errors.AsType[*named](err); ok {
		return n.name
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok && unix.ErrnoName(errno) != "" {
		return unix.ErrnoName(errno)
	}
	return Other
}

// describe is an error by its name, with particulars where there are any.
func describe(err error) string {
	if p, ok := errors.AsType[*partial](err); ok {
		return p.Error()
	}
	if n, ok := errors.AsType[*named](err); ok {
		return n.msg
	}
	if name := nameOf(err); name != Other {
		return name
	}
	return err.Error()
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

// ErrorNames lists the names that expect-error knows.
func ErrorNames() []string { return slices.Clone(errorNames()) }

func isErrorName(s string) bool { return slices.Contains(errorNames(), s) }
