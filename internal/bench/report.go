package bench

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Report is everything that was measured, and what it says of the targets.
type Report struct {
	Machine Machine           `json:"machine"`
	Rounds  int               `json:"rounds"`
	Seconds float64           `json:"seconds"` // that the run took
	Values  []*Value          `json:"values"`
	Targets []Row             `json:"targets"`
	Absent  map[string]string `json:"absent,omitempty"` // ways that could not be measured, and why
}

// A Machine is what the values hold for.
type Machine struct {
	Cores  int     `json:"cores"` // that the process may use
	Kernel string  `json:"kernel"`
	Go     string  `json:"go"`
	Load   float64 `json:"load"` // average of the last minute, as the run began
}

// A Value is one thing measured of one subject: a way, or a part of the box alone.
type Value struct {
	Subject string    `json:"subject"`
	What    string    `json:"what"`
	Unit    string    `json:"unit,omitempty"`
	Median  float64   `json:"median"`
	Rounds  []float64 `json:"rounds"`
}

// A Row holds a target against what was measured.
type Row struct {
	What   string  `json:"what"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit,omitempty"`
	Over   float64 `json:"over,omitempty"`   // what Value is compared with, in the same unit
	Ratio  float64 `json:"ratio,omitempty"`  // Value over Over
	Target string  `json:"target,omitempty"` // empty: none on this machine
	Met    *bool   `json:"met"`              // nil: there is no target, or something was not measured
	Note   string  `json:"note,omitempty"`   // why Met is nil
}

func (r *run) report(took time.Duration) *Report {
	for _, v := range r.values {
		v.Median = median(v.Rounds)
	}
	rep := &Report{
		Machine: r.machine, Rounds: r.cfg.Rounds, Seconds: took.Seconds(),
		Values: r.values, Absent: r.absent,
	}
	for _, t := range targets(r.cfg) {
		rep.Targets = append(rep.Targets, rep.judge(&t))
	}
	return rep
}

// value finds what was measured; nil if it was not.
func (r *Report) value(subject, what string) *Value {
	for _, v := range r.Values {
		if v.Subject == subject && v.What == what {
			return v
		}
	}
	return nil
}

// median is the middle of a list, or the mean of its two middles.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func thisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Kernel: firstWord("/proc/sys/kernel/osrelease"), Go: runtime.Version()}
	m.Load, _ = strconv.ParseFloat(firstWord("/proc/loadavg"), 64)
	return m
}

// firstWord is that of a file; empty if it cannot be read.
func firstWord(file string) string {
	text, _ := os.ReadFile(file)
	if words := strings.Fields(string(text)); len(words) > 0 {
		return words[0]
	}
	return ""
}
