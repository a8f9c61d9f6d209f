package bench

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		list []float64
		want float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1}, 5},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 3, 2, 100}, 3.5},
	} {
		if got := median(c.list); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.list, got, c.want)
		}
	}
}

func TestShort(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 0.004: "0.00", 0.625: "0.62", 9.994: "9.99", 17.46: "17.5", 123.4: "123",
		1234.4: "1,234", 1_000_000: "1,000,000", -1.5: "-1.50", -12345: "-12,345",
	} {
		if got := short(x); got != want {
			t.Errorf("short(%v) = %q, want %q", x, got, want)
		}
	}
}

// measured is a run in which each way's bulk speed is given.
func measured(cores int, bulk map[string]float64) *Report {
	r := &run{cfg: Quick(), absent: map[string]string{}, machine: Machine{Cores: cores}}
	for _, name := range []string{KernelRouter, Box, Box10, BoxExact, Toxiproxy} {
		if x, ok := bulk[name]; ok {
			r.add(name, BulkOne, x)
		} else {
			r.absent[name] = name + ": not here"
		}
	}
	return r.report(time.Second)
}

func TestTargets(t *testing.T) {
	const overKernel, exact, overToxiproxy = "bulk, one flow, over the kernel router",
		"bulk under an exact rule, over no such rule", "bulk, one flow, over Toxiproxy"
	all := map[string]float64{KernelRouter: 20, Box: 30, Box10: 28, BoxExact: 24, Toxiproxy: 8}
	none := map[string]float64{KernelRouter: 20, Box: 30, Box10: 28, BoxExact: 20}
	for _, c := range []struct {
		name   string
		cores  int
		bulk   map[string]float64
		row    string
		target string
		want   string
	}{
		{"just met", 4, all, overKernel, ">= 1.4", "met"},
		{"easier on two cores", 2, all, overKernel, ">= 0.8", "met"},
		{"just met, other base", 4, all, exact, ">= 0.8", "met"},
		{"not met", 4, none, exact, ">= 0.8", "NOT MET"},
		{"not met, no base of its own", 4, all, overToxiproxy, ">= 4", "NOT MET"},
		{"no base", 4, none, overToxiproxy, ">= 4", "- Toxiproxy was not measured"},
		{"no target on two cores", 2, all, "bulk, four flows, over the kernel router", "", "- no target on 2 cores"},
	} {
		t.Run(c.name, func(t *testing.T) {
			row := findRow(t, measured(c.cores, c.bulk), c.row)
			if got := row.Verdict(); got != c.want || row.Target != c.target {
				t.Errorf("target %q: %q, want %q: %q", row.Target, got, c.target, c.want)
			}
		})
	}
}

func findRow(t *testing.T, r *Report, what string) *Row {
	t.Helper()
	for i := range r.Targets {
		if r.Targets[i].What == what {
			return &r.Targets[i]
		}
	}
	t.Fatalf("no row %q", what)
	return nil
}

func TestWrite(t *testing.T) {
	r := measured(4, map[string]float64{KernelRouter: 20, Box: 30, Box10: 28, BoxExact: 20})
	var out strings.Builder
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"bulk, one flow, over the kernel router", "28.0 over 20.0 Gbit/s", ">= 1.4", "NOT MET",
		"Toxiproxy was not measured: Toxiproxy: not here",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestReportJSON(t *testing.T) {
	r := measured(4, map[string]float64{KernelRouter: 20, Box10: 28})
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	row := findRow(t, &back, "bulk, one flow, over the kernel router")
	if row.Met == nil || !*row.Met || row.Ratio != 1.4 {
		t.Errorf("%s", text)
	}
}

func TestBusy(t *testing.T) {
	got, err := busy("cpu  100 20 3 9999 888 7 6 55 44 0\n")
	if want := 1360 * time.Millisecond; err != nil || got != want {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, line := range []string{"", "cpu 1 2 3\n", "intr 1 2 3 4 5 6 7 8\n", "cpu 1 2 x 4 5 6 7 8\n"} {
		if _, err := busy(line); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
}
