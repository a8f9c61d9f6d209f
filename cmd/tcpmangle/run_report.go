package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/lab"
)

// A boxReport is what came of a box in front of real services.
type boxReport struct {
	seed         uint64
	took         time.Duration
	status       *int // of the command; nil: there was none
	expectations []lab.Expectation
	problems     []string
	rules        []engine.RuleReport
	stats        engine.Stats
	ringDrops    uint64
}

// report gathers what the box has done. It may have ended.
func (b *box) report() (*boxReport, error) {
	r := &boxReport{seed: b.engine.Seed(), took: b.engine.Since(), rules: b.engine.Report(), stats: b.engine.Stats()}
	var err error
	r.ringDrops, err = b.engine.RingDrops()
	return r, err
}

// pass tells whether everything was as expected.
func (r *boxReport) pass() bool {
	for _, x := range r.expectations {
		if !x.OK {
			return false
		}
	}
	return len(r.problems) == 0
}

func (r *boxReport) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return r.writeJSON(w)
	}
	for _, x := range r.expectations {
		if x.OK {
			fmt.Fprintf(w, "PASS  %s  (at %.3fs)\n", x.Text, x.At.Seconds())
			continue
		}
		fmt.Fprintf(w, "FAIL  %s\n", x.Text)
		if x.Why != "" {
			fmt.Fprintf(w, "      %s\n", x.Why)
		}
	}
	for _, p := range r.problems {
		fmt.Fprintf(w, "FAIL  %s\n", p)
	}
	writeRules(w, r.others())
	for _, line := range verdictLines(r.stats) {
		fmt.Fprintln(w, line)
	}
	if r.ringDrops > 0 {
		fmt.Fprintf(w, "lost    %d: by the kernel, before the box could read them\n", r.ringDrops)
	}
	_, err := fmt.Fprintf(w, "seed %d\n", r.seed)
	return err
}

// others are the rules that no problem is about.
func (r *boxReport) others() []engine.RuleReport {
	return slices.DeleteFunc(slices.Clone(r.rules), func(rule engine.RuleReport) bool {
		return slices.Contains(r.problems, neverFiredText(rule))
	})
}

type expectationJSON struct {
	Text    string  `json:"text"`
	Verdict string  `json:"verdict"`
	Why     string  `json:"why,omitempty"`
	At      float64 `json:"at"`
}

func (r *boxReport) writeJSON(w io.Writer) error {
	out := struct {
		Verdict      string            `json:"verdict"`
		Seed         uint64            `json:"seed"`
		Duration     float64           `json:"duration"`
		Status       *int              `json:"status,omitempty"`
		Expectations []expectationJSON `json:"expectations"`
		Problems     []string          `json:"problems"`
		Rules        []ruleJSON        `json:"rules"`
		Segments     uint64            `json:"segments"`
		Verdicts     map[string]uint64 `json:"verdicts"`
		Losses       map[string]uint64 `json:"losses"`
		RingDrops    uint64            `json:"ring_drops"`
	}{
		verdictOf(r.pass()), r.seed, r.took.Seconds(), r.status, []expectationJSON{}, append([]string{}, r.problems...),
		rulesJSON(r.rules), r.stats.Segments, verdicts(r.stats), losses(r.stats), r.ringDrops,
	}
	for _, x := range r.expectations {
		out.Expectations = append(out.Expectations, expectationJSON{x.Text, verdictOf(x.OK), x.Why, x.At.Seconds()})
	}
	return writeJSON(w, out)
}

func verdictOf(ok bool) string {
	if ok {
		return "pass"
	}
	return "fail"
}

// losses counts segments that were lost although no rule dropped them, by the reason.
func losses(s engine.Stats) map[string]uint64 {
	m := make(map[string]uint64)
	for i, name := range engine.LossNames() {
		if n := s.Losses[i]; n > 0 {
			m[name] = n
		}
	}
	return m
}
