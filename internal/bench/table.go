package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Write prints the report: the ways side by side, what was measured on the box
// alone, and the targets.
func (r *Report) Write(w io.Writer) error {
	fmt.Fprintf(w, "%d cores, Linux %s, %s, load %.1f; medians of %d rounds, %v\n\n",
		r.Machine.Cores, r.Machine.Kernel, r.Machine.Go, r.Machine.Load, r.Rounds,
		time.Duration(r.Seconds*float64(time.Second)).Round(time.Second))
	return firstError(r.writeWays(w), r.writeAlone(w), r.writeTargets(w), r.writeAbsent(w))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// columns are what is measured of a way.
var columns = []struct{ head, unit, what string }{
	{"one flow", "Gbit/s", BulkOne},
	{"four flows", "Gbit/s", BulkFour},
	{"response", "us", RoundTrip},
	{"p99", "us", RoundTrip99},
	{"connections", "/s", Connections},
	{"process", "CPU s/GiB", ProcessCPU},
	{"machine", "CPU s/GiB", MachineCPU},
}

func (r *Report) writeWays(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	heads, unitRow := []string{pad("way")}, []string{pad("")}
	for _, c := range columns {
		heads, unitRow = append(heads, c.head), append(unitRow, c.unit)
	}
	line(t, heads)
	line(t, unitRow)
	for i := range variants {
		name := variants[i].name
		if r.Absent[name] != "" {
			continue
		}
		cells := []string{pad(name)}
		for _, c := range columns {
			cells = append(cells, r.cell(name, c.what))
		}
		line(t, cells)
	}
	return t.Flush()
}

// firstColumn is the width of what is not aligned to the right.
const firstColumn = 22

func pad(s string) string { return fmt.Sprintf("%-*s", firstColumn, s) }

// line writes the cells of a row; the first one stands at the margin.
func line(w io.Writer, cells []string) { fmt.Fprintln(w, strings.Join(cells, "\t")+"\t") }

func (r *Report) cell(subject, what string) string {
	if v := r.value(subject, what); v != nil {
		return short(v.Median)
	}
	return "-"
}

func (r *Report) writeAlone(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t)
	for _, v := range r.Values {
		if !slices.ContainsFunc(variants, func(way variant) bool { return way.name == v.Subject }) {
			fmt.Fprintf(t, "%s\t%s\t%s %s\n", v.Subject, v.What, short(v.Median), v.Unit)
		}
	}
	return t.Flush()
}

func (r *Report) writeTargets(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\ntarget\tmeasured\tratio\twanted\t")
	for _, row := range r.Targets {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", row.What, row.measured(), row.ratio(), row.wanted(), row.Verdict())
	}
	return t.Flush()
}

func (row *Row) measured() string {
	if row.Over == 0 {
		return strings.TrimSpace(short(row.Value) + " " + row.Unit)
	}
	return strings.TrimSpace(short(row.Value) + " over " + short(row.Over) + " " + row.Unit)
}

func (row *Row) ratio() string {
	if row.Ratio == 0 {
		return "-"
	}
	return short(row.Ratio)
}

func (row *Row) wanted() string {
	if row.Target == "" {
		return "-"
	}
	return row.Target
}

// Verdict is met, not met, or - with the reason why there is none.
func (row *Row) Verdict() string {
	switch {
	case row.Met == nil:
		return "- " + row.Note
	case *row.Met:
		return "met"
	}
	return "NOT MET"
}

func (r *Report) writeAbsent(w io.Writer) error {
	for i := range variants {
		if why := r.Absent[variants[i].name]; why != "" {
			if _, err := fmt.Fprintf(w, "\n%s was not measured: %s\n", variants[i].name, why); err != nil {
				return err
			}
		}
	}
	return nil
}

// short is a number with three digits that count.
func short(x float64) string {
	switch a := math.Abs(x); {
	case a >= 1000:
		return grouped(x)
	case a >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	case a == 0:
		return "0"
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// grouped is a whole number with a comma at every third digit.
func grouped(x float64) string {
	digits := strconv.FormatFloat(math.Abs(x), 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if x < 0 {
		return "-" + digits
	}
	return digits
}
