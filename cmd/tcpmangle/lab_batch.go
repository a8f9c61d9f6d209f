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
	report   io.WriteCloser // for JUnit; nil if none was asked for
	runs     int            // planned
	results  []*lab.Result
	failed   int
}

// open opens what is written at the end: what cannot be written is told now.
func (b *batch) open() (err error) {
	if b.junit == "" {
		return nil
	}
	if b.report, err = b.create(b.junit); err != nil {
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
	b.results = append(b.results, result)
	if !result.Pass {
		b.failed++
	}
	if err := b.draw(result); err != nil {
		return fmt.Errorf("svg: %w", err)
	}
	if b.json {
		return nil
	}
	return b.print(result)
}

// execute is the run itself, with its events in their file.
func (b *batch) execute(r labRun) (result *lab.Result, err error) {
	opts := b.options(r)
	if b.events != "" {
		events, openErr := b.create(b.events)
		if openErr != nil {
			return nil, fmt.Errorf("events: %w", openErr)
		}
		defer func() { err = errors.Join(err, events.Close()) }()
		opts.Events = events
	}
	if result, err = lab.Execute(b.ctx, r.file, opts); err != nil {
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
		_, err := fmt.Fprintf(b.out, "PASS %s (IPv%d, %.1fs)\n", r.File, r.IP, r.Duration.Seconds())
		return err
	}
	return r.WriteText(b.out, isTerminal(b.out))
}

func (b *batch) over() bool { return b.ctx.Err() != nil || b.repeat > 1 && b.failed > 0 }

// finish writes what is about all runs.
func (b *batch) finish() error {
	if b.report != nil {
		if err := errors.Join(lab.WriteJUnit(b.report, b.results), b.report.Close()); err != nil {
			return fmt.Errorf("junit: %w", err)
		}
	}
	switch {
	case b.json:
		if err := b.writeJSON(); err != nil {
			return err
		}
	case len(b.results) > 1:
		fmt.Fprintf(b.out, "%d passed, %d failed\n", len(b.results)-b.failed, b.failed)
	}
	if b.failed > 0 {
		return errFailed
	}
	return nil
}

// writeJSON writes one object for one run, an array for several.
func (b *batch) writeJSON() error {
	if len(b.results) == 1 {
		return b.results[0].WriteJSON(b.out)
	}
	fmt.Fprint(b.out, "[")
	for i, r := range b.results {
		var one strings.Builder
		if err := r.WriteJSON(&one); err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprint(b.out, ",")
		}
		fmt.Fprint(b.out, "\n", strings.TrimSpace(one.String()))
	}
	_, err := fmt.Fprintln(b.out, "\n]")
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
