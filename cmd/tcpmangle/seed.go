package main

import (
	"errors"
	"strconv"

	"github.com/spf13/pflag"
)

// A seedFlag is the number that the dice start from, if the call gives one. The
// zero value is none. It is a pflag.Value.
type seedFlag struct {
	given bool
	seed  uint64
}

var _ pflag.Value = (*seedFlag)(nil)

// Set reads the flag's argument.
func (s *seedFlag) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return errors.New("a seed is a whole number from 0 to 18446744073709551615")
	}
	*s = seedFlag{true, n}
	return nil
}

// String is empty where there is none, so that help shows no default.
func (s *seedFlag) String() string {
	if !s.given {
		return ""
	}
	return strconv.FormatUint(s.seed, 10)
}

// Type is what help calls the argument.
func (s *seedFlag) Type() string { return "number" }
