package lab

import (
	"fmt"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
)

// A Result is what came of one execution of a File.
type Result struct {
	File        string // its path
	Title       string
	IP          int // 4 or 6
	Offload     bool
	Workers     int             // threads that shared the box's work
	Steering    engine.Steering // how packets got to the one that has their connection
	Seed        uint64
	Pass        bool
	Interrupted bool // the context ended it
	Duration    time.Duration

	Expectations []Expectation
	Problems     []string // what failed besides: one sentence each
	Rules        []engine.RuleReport
	Agreement    Agreement
	Client       Side
	Server       Side

	// Events are what the box has done, in order: all connections', up to 262144 of
	// them. UnkeptEvents were more; Options.Events gets these too.
	Events       []engine.Event
	UnkeptEvents int
	Stats        engine.Stats
	RingDrops    uint64 // packets that the kernel lost before the box could read them

	asked    int                // Workers that Options wanted
	began    time.Duration      // the client's start, on the box's clock
	talked   *tuple             // the connection that decided an expectation
	listened [2]map[uint16]bool // all ports there was a listener on, by host
}

// An Expectation is one [[expect]] and what became of it.
type Expectation struct {
	Text string
	OK   bool
	Why  string        // of a failure; of a success sometimes what met it
	At   time.Duration // since the client's start: when it came true
}

// A Side is what one host's script or program put out and met.
type Side struct {
	Output []Line
	Errors []ScriptError
	Exits  []Exit
}

// Verdict is "pass" or "fail".
func (r *Result) Verdict() string {
	if r.Pass {
		return "pass"
	}
	return "fail"
}

// Notices are what differs from what Options asked for, one sentence each. They do not
// change the verdict.
func (r *Result) Notices() (all []string) {
	if r.Workers < r.asked {
		all = append(all, fmt.Sprintf("%d workers were asked for, there was %d: each needs a queue on both devices", r.asked, r.Workers))
	}
	if r.Steering == engine.SteerKernel {
		all = append(all, "the kernel steered, for want of the right to load an eBPF program: an ICMP error may have missed its connection")
	}
	return all
}
