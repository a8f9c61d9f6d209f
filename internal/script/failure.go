package script

import (
	"fmt"
	"slices"
	"strings"
)

// A Failure is a command that met an error.
type Failure struct {
	Line     int    // in the script's text, from 1
	Command  string // as it is written there
	Conn     int    // of RunServer: which connection, from 1; 0: the script itself
	Name     string // ECONNRESET, EOF, ...; Success if an error was expected in vain
	Want     []string
	Expected bool  // Name is one of Want: the script goes on
	Err      error // what the command met; nil with Success
}

// Error is as "line 3: recv 4: ECONNRESET after 2 bytes "po"".
func (f Failure) Error() string {
	return fmt.Sprintf("line %d: %s: %s", f.Line, f.Command, f.outcome())
}

// Unwrap gives what the command met, an errno as a rule.
func (f Failure) Unwrap() error { return f.Err }

// outcome is the error and how it stands to what was expected.
func (f Failure) outcome() string {
	s := "succeeded"
	if f.Err != nil {
		s = describe(f.Err)
	}
	switch {
	case f.Expected:
		return s + ", as expected"
	case f.Want != nil:
		return s + ", but " + strings.Join(f.Want, " or ") + " was expected"
	}
	return s
}

// judge compares a command's error with what it was to meet; nil is success.
func (c command) judge(err error) *Failure {
	if err == nil && c.expect == nil {
		return nil
	}
	f := &Failure{Line: c.line, Command: c.text, Name: Success, Want: c.expect, Err: err}
	if err != nil {
		f.Name = nameOf(err)
	}
	f.Expected = slices.Contains(c.expect, f.Name)
	return f
}
