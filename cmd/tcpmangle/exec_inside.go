package main

import (
	"errors"
	"io/fs"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/inline"
)

// insideName is how exec calls this program inside of the namespaces of its command, to
// prepare them and to become the command.
const insideName = "__inside"

// What a shell answers if it cannot run a command.
const (
	exitNotFound    = 127
	exitNotRunnable = 126
)

func insideCommand() *cobra.Command {
	return &cobra.Command{
		Use:                insideName,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, argv []string) error {
			return cannotRun(cmd, inline.Enter(argv))
		},
	}
}

// cannotRun says why a command cannot be run, with the status that a shell has for it.
func cannotRun(cmd *cobra.Command, err error) error {
	complain(cmd.ErrOrStderr(), err, "")
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return &exitError{exitNotFound}
	}
	return &exitError{exitNotRunnable}
}
