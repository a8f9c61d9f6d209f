package bench

import (
	"fmt"
	"strconv"
)

// A target is a promise: a value, or its ratio over another, is at least or at
// most something.
type target struct {
	what    string
	subject string // whose value
	over    string // whose value it is compared with; empty: none
	value   string
	limit   limit
}

// A limit depends on the number of cores: where client, box and server have to
// share two, the box cannot run beside them.
type limit struct {
	least bool
	four  float64 // with four cores and more
	two   float64 // with fewer; 0: no promise
}

func atLeast(x float64) limit                { return limit{true, x, x} }
func atMost(x float64) limit                 { return limit{false, x, x} }
func atLeastOnCores(four, two float64) limit { return limit{true, four, two} }

// on is the limit on a machine; ok is false if there is none.
func (l limit) on(cores int) (x float64, ok bool) {
	if cores >= 4 {
		return l.four, true
	}
	return l.two, l.two != 0
}

func (l limit) holds(x, limit float64) bool {
	if l.least {
		return x >= limit
	}
	return x <= limit
}

func (l limit) text(x float64) string {
	sign := "<="
	if l.least {
		sign = ">="
	}
	return sign + " " + strconv.FormatFloat(x, 'f', -1, 64)
}

// targets are what the box has to reach.
func targets(c Config) []target {
	return []target{
		{"bulk, one flow, over the kernel router", Box10, KernelRouter, BulkOne, atLeastOnCores(1.4, 0.8)},
		{"bulk, four flows, over the kernel router", BoxWorkers, KernelRouter, BulkFour, atLeastOnCores(0.45, 0)},
		{"bulk, one flow, over Toxiproxy", Box10, Toxiproxy, BulkOne, atLeast(4)},
		{"bulk, one flow, over HAProxy", Box10, HAProxy, BulkOne, atLeast(1.5)},
		{"bulk under an exact rule, over no such rule", BoxExact, Box, BulkOne, atLeast(0.8)},
		{"request/response, over Toxiproxy", Box10, Toxiproxy, RoundTrip, atMost(0.75)},
		{"request/response with busy-poll, over Toxiproxy", BoxSpin, Toxiproxy, RoundTrip, atMost(0.4)},
		{"connections a second, over the kernel router", Box10, KernelRouter, Connections, atLeast(0.9)},
		{"segment with 1,000 rules, over 1 rule", manyRules, oneRule, SegmentCost, atMost(1.1)},
		{"bytes a tracked connection", tracked, "", Memory, atMost(512)},
		{"lookup in " + grouped(float64(c.Conns)) + ", over 1,000", largeTable(c.Conns), smallTable, LookupCost, atMost(3)},
		{"longest SYN, table " + growing(c.Conns), growing(c.Conns), "", LongestSYN, atMost(1000)},
		{"allocations a passing segment", passing, "", Allocations, atMost(0)},
		{"timers, p99 with " + heldSubject(c.Held), heldSubject(c.Held), "", Lateness99, atMost(1000)},
	}
}

// judge holds a target against the report's values.
func (r *Report) judge(t *target) Row {
	row := Row{What: t.what, Unit: units[t.value]}
	x, promised := t.limit.on(r.Machine.Cores)
	if promised {
		row.Target = t.limit.text(x)
	} else {
		row.Note = fmt.Sprintf("no target on %d cores", r.Machine.Cores)
	}
	v := r.value(t.subject, t.value)
	if v == nil {
		return row.unmeasured(t.subject)
	}
	row.Value = v.Median
	judged := v.Median
	if t.over != "" {
		base := r.value(t.over, t.value)
		if base == nil || base.Median == 0 {
			return row.unmeasured(t.over)
		}
		row.Over, row.Ratio = base.Median, v.Median/base.Median
		judged = row.Ratio
	}
	if promised {
		met := t.limit.holds(judged, x)
		row.Met = &met
	}
	return row
}

// unmeasured is the row of a target for which something is missing. Why a way was not
// measured is in Report.Absent, once for all rows.
func (row Row) unmeasured(subject string) Row {
	if row.Note == "" { // else there is no target either
		row.Note = subject + " was not measured"
	}
	return row
}
