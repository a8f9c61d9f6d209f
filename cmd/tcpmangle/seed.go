package main

import (
	"fmt"
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
		return fmt.Errorf("a seed is a number from 0 on")
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
