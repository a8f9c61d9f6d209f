package main

import (
	"fmt"
	"runtime"
	"strconv"

	"github.com/spf13/pflag"
)

// A workersFlag is how many threads share the box's work. The zero value, and what
// help shows as no default, is one. It is a pflag.Value.
type workersFlag int

var _ pflag.Value = (*workersFlag)(nil)

// maxWorkers is as many queues as a device can have (MAX_TAP_QUEUES in the kernel's drivers/net/tun.c).
const maxWorkers = 256

// Set reads the flag's argument.
func (w *workersFlag) Set(text string) error {
	if text == "auto" {
		*w = workersFlag(min(runtime.GOMAXPROCS(0), maxWorkers))
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxWorkers {
		return fmt.Errorf("workers are auto or a number from 1 to %d", maxWorkers)
	}
	*w = workersFlag(n)
	return nil
}

// String is empty where the flag is not given.
func (w *workersFlag) String() string {
	if *w == 0 {
		return ""
	}
	return strconv.Itoa(int(*w))
}

// Type is what help calls the argument.
func (w *workersFlag) Type() string { return "number" }
