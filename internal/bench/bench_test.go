package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

const endpointArg = "bench-test-endpoint"

// TestMain turns the test binary into a load generator where Run starts it as one.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{endpointArg}) {
		if err := Endpoint(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// tiny is enough to fill each row; what it says of speed means nothing.
func tiny() Config {
	return Config{
		Rounds: 1, Measure: 20 * time.Millisecond, Held: 200, HeldFor: 50 * time.Millisecond,
		Idle: 1000, Conns: 5000, Alone: 2000, Endpoint: []string{endpointArg},
	}
}

func TestRunFillsEveryRow(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	nstest.NeedTUN(t)
	last := -1
	cfg := tiny()
	cfg.Progress = func(done, total int, step string) {
		if done != last+1 || done >= total {
			t.Errorf("step %d of %d after step %d: %s", done, total, last, step)
		}
		last = done
	}
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if last != 0 && last+1 != (&run{cfg: cfg}).steps() {
		t.Errorf("%d steps, %d were announced", last+1, (&run{cfg: cfg}).steps())
	}
	for _, v := range r.Values {
		if len(v.Rounds) == 0 || v.Median <= 0 && v.What != Allocations {
			t.Errorf("%s, %s: %v of %v", v.Subject, v.What, v.Median, v.Rounds)
		}
	}
	for _, row := range r.Targets {
		switch absent := len(r.Absent) > 0 && row.Note != ""; {
		case row.Met == nil && !absent && row.Target != "":
			t.Errorf("%s: not filled: %s", row.What, row.Note)
		case row.Value == 0 && !absent && row.Unit != "":
			t.Errorf("%s: no value", row.What)
		}
	}
	for name := range r.Absent {
		if _, err := exec.LookPath("haproxy"); name == HAProxy && err == nil {
			t.Error("haproxy is on PATH and was not measured")
		}
	}
}

func TestRunStops(t *testing.T) {
	nstest.NeedTUN(t)
	ctx, cancel := context.WithCancel(t.Context())
	cfg := tiny()
	cfg.Progress = func(done, _ int, _ string) {
		if done == 2 {
			cancel()
		}
	}
	if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A passing segment of any box allocates nothing, here as in the report.
func TestSteadyAllocatesNothing(t *testing.T) {
	for name, s := range map[string]*steady{"idle rules": newSteady(idleRules(10)), "exact rule": newSteady(exactRule())} {
		if n := testing.AllocsPerRun(100, func() { s.pass(10) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// What is forged is taken for what it is meant to be.
func TestForgedSegmentsPass(t *testing.T) {
	s := newSteady(exactRule())
	before := s.box.Stats()
	s.pass(100)
	after := s.box.Stats()
	if got := after.Segments - before.Segments; got != 100 {
		t.Errorf("%d segments, want 100", got)
	}
	if after.Untracked != 0 || after.Losses != before.Losses {
		t.Errorf("%+v", after)
	}
	if r := s.box.Report()[0]; r.Fired != 0 {
		t.Errorf("the rule fired %d times", r.Fired)
	}
}

func TestTableFindsAll(t *testing.T) {
	f := newTable(2000)
	if got := f.table.Len(); got != 2000 {
		t.Errorf("%d connections", got)
	}
	f.find(5000, 2000) // panics if one is missing
}

// Who disturbs one piece of a round does not change what the round tells.
func TestCostsAreOfTheFastestPiece(t *testing.T) {
	r := &run{cfg: Config{Rounds: 2, Alone: pieces}}
	times := 0
	r.costs(SegmentCost, cost{"disturbed", func(n int) {
		if times++; times%pieces == 1 {
			time.Sleep(50 * time.Millisecond)
		}
	}})
	if v := r.values[0]; len(v.Rounds) != 2 || times != 2*pieces || v.Rounds[0] > 50e6 || v.Rounds[1] > 50e6 {
		t.Errorf("%d times, %v", times, v.Rounds)
	}
}
