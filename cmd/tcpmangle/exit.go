package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// The exit statuses.
const (
	exitDone    = 0 // and as expected
	exitFailed  = 1 // it ran, and an expectation failed
	exitUsage   = 2 // the call or a file is wrong
	exitMachine = 3 // this machine cannot do it
	exitBug     = 4 // ours
)

// errFailed says that it ran and something was not as expected; what that was
// has been printed.
var errFailed = errors.New("an expectation failed")

// A usageError is a mistake in the call.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage makes a mistake in the call of err, with the command that explains the right one.
func usage(cmd *cobra.Command, err error) error {
	return &usageError{err, cmd.CommandPath() + " --help"}
}

// atLeastOne refuses a call without files.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(cmd, fmt.Errorf("%s needs %s", cmd.Name(), what))
		}
		return nil
	}
}

// A machineError is a run that the machine has not let come to its end.
type machineError struct{ err error }

func (e *machineError) Error() string { return e.err.Error() }
func (e *machineError) Unwrap() error { return e.err }

// An exitError ends the process with a status of its own, silently.
type exitError struct{ status int }

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// mistakes are those of files, each at its place: rules.Errors, ladder.Errors.
type mistakes interface {
	error
	Unwrap() []error
	Render(io.Writer) error
}

// explain prints why a command failed and gives the exit status.
func explain(stderr io.Writer, err error) int {
	var (
		call     *usageError
		mistakes mistakes
		missing  *netns.MissingError
		machine  *machineError
		exit     *exitError
	)
	if status, ok := explainInstance(stderr, err); ok {
		return status
	}
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errFailed):
		complainBeside(stderr, err)
		return exitFailed
	case errors.As(err, &exit):
		complainBeside(stderr, err)
		return exit.status
	case errors.As(err, &mistakes):
		mistakes.Render(stderr)
		fmt.Fprintf(stderr, "tcpmangle: %s; nothing was run\n", count(len(mistakes.Unwrap()), "mistake"))
		return exitUsage
	case errors.As(err, &missing):
		complain(stderr, err, missing.Hint)
		return exitMachine
	case errors.As(err, &machine):
		complain(stderr, err, "")
		return exitMachine
	case errors.As(err, &call):
		complain(stderr, err, call.hint)
		return exitUsage
	}
	complain(stderr, err, "")
	return exitUsage
}

// complain prints what went wrong, each line of it as ours, and what there is to try.
func complain(w io.Writer, err error, hint string) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "tcpmangle: %s\n", strings.TrimSuffix(line, "\n"))
	}
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

// complainBeside prints what went wrong beside a verdict or a status that speaks for itself.
func complainBeside(w io.Writer, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			complainBeside(w, e)
		}
		return
	}
	if _, exit := errors.AsType[*exitError](err); !exit && !errors.Is(err, errFailed) {
		complain(w, err, "")
	}
}

// count is a number with its noun: 1 mistake, 2 mistakes.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
