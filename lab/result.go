package lab

import (
	"fmt"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
)

// A Result is what came of one execution of a File. All its times count from the client's
// start: what was before has a negative one.
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
	Steps        []Step   // that were done
	Rules        []engine.RuleReport
	Agreement    Agreement
	Client       Side
	Server       Side

	// Events are what the box has done, in order: all connections', up to 262144 of
	// them. UnkeptEvents were more; Options.Events gets these too.
	// Their times count from the client's start, too.
	Events       []engine.Event
	UnkeptEvents int
	Stats        engine.Stats
	RingDrops    uint64 // packets that the kernel lost before the box could read them

	asked    int                // Workers that Options wanted
	talked   *tuple             // the connection that decided an expectation
	listened [2]map[uint16]bool // all ports there was a listener on, by host
}

// An Expectation is one [[expect]] and what became of it.
type Expectation struct {
	Text string
	OK   bool
	Open bool          // the run was interrupted before it was decided; it is not OK
	Why  string        // of a failure; of a success sometimes what met it
	At   time.Duration // since the client's start: when it came true
}

// Verdict is "pass", "fail" or "open".
func (x *Expectation) Verdict() string {
	switch {
	case x.OK:
		return "pass"
	case x.Open:
		return "open"
	}
	return "fail"
}

// A Step is one [[step]] that was done.
type Step struct {
	Text string // "destroy server"
	At   time.Duration
}

// A Side is what one host's script or program put out and met.
type Side struct {
	Output []Line // the first 100,000 lines, and 16 MiB
	Unkept int    // lines beyond these; expectations have looked at them, too
	Errors []ScriptError
	Exits  []Exit
}

// Verdict is "pass", "fail", or "interrupted" where nothing had failed by then.
func (r *Result) Verdict() string {
	switch {
	case r.Pass:
		return "pass"
	case r.Interrupted && !r.hasFailed():
		return "interrupted"
	}
	return "fail"
}

// hasFailed tells whether anything was not as it should be, be it interrupted or not.
func (r *Result) hasFailed() bool {
	return len(r.Problems) > 0 || slices.ContainsFunc(r.Expectations, func(x Expectation) bool { return !x.OK && !x.Open })
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
	for side, s := range []Side{r.Client, r.Server} {
		if s.Unkept > 0 {
			all = append(all, fmt.Sprintf("the %s put out %s more than are kept; expectations have looked at them, too", sideNames[side], count(s.Unkept, "line")))
		}
	}
	for i, name := range engine.OtherNames() {
		if n := r.Stats.Others[i]; n > 0 && slices.Contains(unseen, name) {
			all = append(all, fmt.Sprintf("no rule and no ladder has seen %s: %s", count(int(n), "packet"), name))
		}
	}
	return all
}

// unseen are the sorts of packets that may hold TCP, and pass all the same.
var unseen = []string{"fragment", "extension-header", "malformed"}
