package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// flagError says what is wrong with the value of a flag as files' readers do.
func flagError(err error) error {
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	flag, text := bad.GetFlag(), bad.GetValue()
	cause := bad.Unwrap()
	_, number := errors.AsType[*strconv.NumError](cause)
	switch {
	case flag.Value.Type() == "bool":
		return fmt.Errorf("--%s: %q is neither true nor false", flag.Name, text)
	case flag.Value.Type() == "duration":
		if _, err := tomldoc.ParseDuration(text); err != nil {
			return fmt.Errorf("--%s: %w", flag.Name, err)
		}
	case number && errors.Is(cause, strconv.ErrRange):
		return fmt.Errorf("--%s: %s is too large", flag.Name, text)
	case number:
		if n, err := strconv.Atoi(text); err == nil && n < 0 {
			return fmt.Errorf("--%s: %d is below 0", flag.Name, n)
		}
		return fmt.Errorf("--%s: %q is not a whole number", flag.Name, text)
	}
	return fmt.Errorf("--%s %s: %w", flag.Name, text, cause)
}

// refuseEmpty refuses flags with nothing behind them: who writes --container "$WEB" while $WEB is
// not set does not mean this host.
func refuseEmpty(cmd *cobra.Command, _ []string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if text := f.Value.String(); text == "" || text == "[]" {
			err = usage(cmd, fmt.Errorf("--%s is empty", f.Name))
		}
	})
	return err
}
