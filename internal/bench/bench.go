package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Config says how much to measure.
type Config struct {
	Rounds  int           // of everything; the medians are told
	Measure time.Duration // of each kind of traffic on each way, in each round
	// Held is how many segments wait while the timers' lateness is measured,
	// and HeldFor how long each.
	Held    int
	HeldFor time.Duration
	// Idle is how many idle connections Box100k tracks besides the load, and a
	// connection's memory is measured by.
	Idle int
	// Conns is the larger of the tables whose lookups are compared, and Alone how many
	// segments are measured on a Box alone in each round.
	Conns int
	Alone int
	// Endpoint are the arguments with which this program calls Endpoint.
	Endpoint []string
	// Progress is told before each step; nil if nobody wants to know.
	Progress func(done, total int, step string)
}

// Standard takes less than two minutes.
func Standard() Config {
	return Config{Rounds: 5, Measure: 320 * time.Millisecond, Held: 10_000, HeldFor: time.Second, Idle: 100_000, Conns: 1_000_000, Alone: 200_000}
}

// Quick takes less than twenty seconds; its medians are of three rounds.
func Quick() Config {
	c := Standard()
	c.Rounds, c.Measure, c.HeldFor, c.Alone = 3, 50*time.Millisecond, 400*time.Millisecond, 100_000
	return c
}

// A run is one execution of Run.
type run struct {
	cfg     Config
	stages  [stageKinds]*stage
	proxies map[string]*proxy
	absent  map[string]string // why a way cannot be measured
	machine Machine
	values  []*Value // in the order in which they were first measured
	done    int      // steps
}

// Run measures everything and takes down what it has built. It needs the
// privilege to make namespaces and devices (netns.Check). When ctx ends it stops
// with the cause.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	began := time.Now()
	r := &run{cfg: cfg, proxies: map[string]*proxy{}, absent: map[string]string{}, machine: thisMachine()}
	err := r.measure(ctx)
	err = errors.Join(err, r.close())
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return r.report(time.Since(began)), nil
}

// steps is how many there are, for the progress.
func (r *run) steps() int { return r.cfg.Rounds*len(variants) + r.cfg.Rounds + aloneSteps }

func (r *run) step(format string, args ...any) {
	if r.cfg.Progress != nil {
		r.cfg.Progress(r.done, r.steps(), fmt.Sprintf(format, args...))
	}
	r.done++
}

// measure has the traffic first, while the heap is small.
func (r *run) measure(ctx context.Context) error {
	for round := range r.cfg.Rounds {
		if err := r.round(ctx, round); err != nil {
			return err
		}
		r.step("round %d: timers", round+1)
		if err := r.timers(ctx); err != nil {
			return fmt.Errorf("timers: %w", err)
		}
	}
	return r.alone(ctx)
}

// round goes each way once, every other time in the opposite order.
func (r *run) round(ctx context.Context, round int) error {
	for i := range variants {
		v := &variants[i]
		if round%2 == 1 {
			v = &variants[len(variants)-1-i]
		}
		r.step("round %d: %s", round+1, v.name)
		if err := r.goWay(ctx, v); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

func (r *run) goWay(ctx context.Context, v *variant) (err error) {
	w, err := v.open(r)
	switch {
	case missing(err):
		r.absent[v.name] = err.Error()
		return nil
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for _, load := range v.traffic {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := load(ctx, r, v.name, w); err != nil {
			return err
		}
	}
	return nil
}

// add keeps one measurement.
func (r *run) add(subject, what string, x float64) {
	for _, v := range r.values {
		if v.Subject == subject && v.What == what {
			v.Rounds = append(v.Rounds, x)
			return
		}
	}
	r.values = append(r.values, &Value{Subject: subject, What: what, Unit: units[what], Rounds: []float64{x}})
}

func (r *run) close() error {
	var err error
	for _, p := range r.proxies {
		err = errors.Join(err, p.close())
	}
	for _, s := range r.stages {
		if s != nil {
			err = errors.Join(err, s.close())
		}
	}
	return err
}
