package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	"github.com/tcpmangle/tcpmangle/lab"
)

// A labRun is one execution of one file.
type labRun struct {
	file *lab.File
	ip   int
}

// plan lists the runs of a call, in their order.
func (f *labFlags) plan(files []*lab.File) (runs []labRun) {
	for range f.repeat {
		for _, file := range files {
			ips := file.IP
			if f.ip != 0 {
				ips = []int{f.ip}
			}
			for _, ip := range ips {
				runs = append(runs, labRun{file, ip})
			}
		}
	}
	return runs
}

// A batch is all runs of one call.
type batch struct {
	*labFlags
	ctx      context.Context
	out, err io.Writer
	report   io.Writer      // gets the ladders and verdicts
	suites   io.WriteCloser // for JUnit; nil if none was asked for
	runs     int            // planned
	results  []*lab.Result
	failed   int
	stopped  int   // interrupted before anything had failed
	lost     error // what could not be written
}

// open opens what is written at the end: what cannot be written is told now.
func (b *batch) open() (err error) {
	if b.junit == "" {
		return nil
	}
	if b.suites, err = b.create(b.junit); err != nil {
		return fmt.Errorf("junit: %w", err)
	}
	return nil
}

// run executes one of them, and says what came of it.
func (b *batch) run(r labRun) error {
	for _, path := range []string{b.pcap, b.svg} {
		if err := b.writable(path); err != nil {
			return err
		}
	}
	result, err := b.execute(r)
	if err != nil {
		return err
	}
	b.count(result)
	b.lose(b.draw(result), "svg")
	if b.json {
		return nil
	}
	return b.print(result)
}

// count enters a result into the sums.
func (b *batch) count(r *lab.Result) {
	b.results = append(b.results, r)
	switch r.Verdict() {
	case "fail":
		b.failed++
	case "interrupted":
		b.stopped++
	}
}

// lose keeps why something could not be written, for the end: what has run is told first.
func (b *batch) lose(err error, what string) {
	if err != nil {
		b.lost = errors.Join(b.lost, fmt.Errorf("%s: %w", what, err))
	}
}

// execute is the run itself, with its events in their file.
func (b *batch) execute(r labRun) (*lab.Result, error) {
	opts := b.options(r)
	if b.events != "" {
		events, err := b.create(b.events)
		if err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
		defer func() { b.lose(events.Close(), "events") }()
		opts.Events = events
	}
	result, err := lab.Execute(b.ctx, r.file, opts)
	_, unwritten := errors.AsType[*lab.OutputError](err)
	switch {
	case unwritten && result == nil:
		return nil, fmt.Errorf("%s: %w", r.file.Path, err)
	case unwritten:
		b.lose(err, r.file.Path)
	case errors.Is(err, lab.ErrMTU6):
		return nil, &usageError{err: fmt.Errorf("%s: %w", r.file.Path, err), hint: "--ip 4"}
	case err != nil:
		return nil, &machineError{fmt.Errorf("%s: %w", r.file.Path, err)}
	}
	return result, nil
}

// options are the flags as package lab takes them.
func (b *batch) options(r labRun) lab.Options {
	opts := lab.Options{IP: r.ip, Offload: b.offload, Workers: int(b.workers), BusyPoll: b.poll, AllEvents: b.allEvents, Capture: b.pcap}
	if b.seed.given || !r.file.Rules.HasSeed {
		seed := b.seedOf(r.file.Rules)
		opts.Seed = &seed
	}
	if b.explain {
		opts.Explain = b.out
	}
	if b.verbose {
		opts.Output = b.err
	}
	if b.debug {
		opts.Log, _ = zap.NewDevelopment()
	}
	return opts
}

// draw writes the picture of a result, if one was asked for.
func (b *batch) draw(r *lab.Result) error {
	if b.svg == "" {
		return nil
	}
	f, err := os.Create(filepath.Clean(b.svg))
	if err != nil {
		return err
	}
	return errors.Join(r.WriteSVG(f), f.Close())
}

// print writes a result: whole if it is the only one or failed, else as a line.
func (b *batch) print(r *lab.Result) error {
	if r.Pass && b.runs > 1 {
		_, err := fmt.Fprintf(b.report, "PASS %s (IPv%d, seed %d, %.1fs)\n", r.File, r.IP, r.Seed, r.Duration.Seconds())
		return err
	}
	return r.WriteTerminal(b.report, terminalOf(b.report))
}

func (b *batch) over() bool { return b.ctx.Err() != nil || b.repeat > 1 && b.failed > 0 }

// finish writes what is about all runs, also if err ended them. An interruption is told by the
// status whatever else has happened, since the rest is unknown.
func (b *batch) finish(err error) error {
	if b.suites != nil {
		b.lose(errors.Join(lab.WriteJUnit(b.suites, b.results), b.suites.Close()), "junit")
	}
	if b.json {
		b.lose(b.writeJSON(), "json")
	} else if b.runs > 1 {
		fmt.Fprintln(b.report, b.sums())
	}
	switch {
	case err != nil:
		return errors.Join(err, b.lost)
	case b.ctx.Err() != nil:
		return errors.Join(interruption(b.ctx), b.lost)
	case b.failed > 0:
		return errors.Join(errFailed, b.lost)
	}
	return b.lost
}

// sums is how many runs came to which end.
func (b *batch) sums() string {
	text := fmt.Sprintf("%d passed, %d failed", len(b.results)-b.failed-b.stopped, b.failed)
	if b.stopped > 0 {
		text += fmt.Sprintf(", %d interrupted", b.stopped)
	}
	if left := b.runs - len(b.results); left > 0 {
		text += fmt.Sprintf(", %d not run", left)
	}
	return text
}

// writeJSON writes the object of a call's one run, or an array for a call of several, however many
// have come to an end.
func (b *batch) writeJSON() error {
	var objects []string
	for _, r := range b.results {
		var one strings.Builder
		if err := r.WriteJSON(&one); err != nil {
			return err
		}
		objects = append(objects, strings.TrimSpace(one.String()))
	}
	text := strings.Join(objects, ",\n")
	switch {
	case b.runs > 1:
		text = "[\n" + text + "\n]"
	case text == "":
		return nil // the run has not been one
	}
	_, err := fmt.Fprintln(b.report, text)
	return err
}

// writable refuses a file that cannot be written, before anything is run.
func (b *batch) writable(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(filepath.Clean(path))
	if err != nil {
		return &usageError{err: err}
	}
	return f.Close()
}

// create opens a file to write; - is standard output.
func (b *batch) create(path string) (io.WriteCloser, error) {
	if path == "-" {
		return keepOpen{b.out}, nil
	}
	return os.Create(filepath.Clean(path))
}

type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }
