package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// labFlags are the flags of lab.
type labFlags struct {
	outputs
	offload tunnel.OffloadMode
	workers workersFlag
	poll    bool
	ip      int
	pcap    string
	svg     string
	explain explainFlag
	junit   string
	repeat  int
	verbose bool
	debug   bool
}

func labCommand() *cobra.Command {
	var f labFlags
	cmd := &cobra.Command{
		Use:   "lab FILE|FOLDER...",
		Short: "Run scripted experiments: two hosts, rules, expectations",
		Long: `Lab makes two hosts (network namespaces with real kernels), puts the box between them, runs
the file's scripts or programs on both, and judges: kernel states, rules, errors, exits. It fails
too when a rule never fired, and when the box's view of an endpoint differs from the kernel's.

It needs Linux and /dev/net/tun. Without root it runs in a user namespace of its own.`,
		Example: `  tcpmangle lab examples/rules/last-ack-lost.toml
  tcpmangle lab examples/rules --junit report.xml
  tcpmangle lab my-service.toml -v --pcap out.pcapng --events out.jsonl`,
		Args: atLeastOne("a lab file or a folder"),
		RunE: func(cmd *cobra.Command, args []string) error { return runLabs(cmd, &f, args) },
	}
	flags := cmd.Flags()
	f.outputs.flags(flags)
	flags.TextVar(&f.offload, "offload", tunnel.Auto, "`mode` of the devices: auto, on (super-packets) or off (one segment a read)")
	flags.Var(&f.workers, "workers", "`number` of threads that share the work, or auto: one for each processor")
	flags.BoolVar(&f.poll, "busy-poll", false, "look for packets a while before waiting for them: less latency, more processor time")
	flags.IntVar(&f.ip, "ip", 0, "run over IP version 4 or 6 only (default: as the file says)")
	flags.StringVar(&f.pcap, "pcap", "", "write what passed both sides to this pcapng `file`")
	flags.StringVar(&f.svg, "svg", "", "draw the ladder and the verdicts into this SVG `file`")
	f.explain.flag(flags)
	flags.StringVar(&f.junit, "junit", "", "write the verdicts to this `file` as JUnit XML")
	flags.IntVar(&f.repeat, "repeat", 1, "run each file so many times; stop at the first failure")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print what both sides do and say, as it happens")
	flags.BoolVar(&f.debug, "debug", false, "print the box's own log")
	return cmd
}

func runLabs(cmd *cobra.Command, f *labFlags, args []string) error {
	if f.ip != 0 && f.ip != 4 && f.ip != 6 {
		return usage(cmd, fmt.Errorf("--ip is 4 or 6, not %d", f.ip))
	}
	if f.repeat < 1 {
		return usage(cmd, fmt.Errorf("--repeat is at least 1, not %d", f.repeat))
	}
	files, err := readLabs(args)
	if err != nil {
		return err
	}
	runs := f.plan(files)
	if err := f.explain.alone(&f.outputs); err != nil {
		return usage(cmd, err)
	}
	if len(runs) > 1 && (f.events != "" || f.pcap != "" || f.svg != "" || bool(f.explain)) {
		return usage(cmd, fmt.Errorf("--events, --pcap, --svg and --explain hold one run; these files make %d", len(runs)))
	}
	if err := guard(pathsOf(files), f.events, f.pcap, f.svg, f.junit); err != nil {
		return err
	}
	if over, err := ready(); over || err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.ErrOrStderr())
	defer stop()
	b := &batch{labFlags: f, ctx: ctx, out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), runs: len(runs)}
	if err := b.open(); err != nil {
		return err
	}
	for _, r := range runs {
		if err := b.run(r); err != nil {
			return err
		}
		if b.over() {
			break
		}
	}
	return b.finish()
}

// readLabs reads what the arguments name; in folders rule files without hosts
// are passed over.
func readLabs(args []string) (files []*lab.File, err error) {
	paths, err := expand(args, ".toml")
	if err != nil {
		return nil, err
	}
	all, err := loadLabs(paths)
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		switch {
		case f.IsLab():
			files = append(files, f)
		case slices.Contains(args, f.Path):
			return nil, &usageError{err: fmt.Errorf("%s: %w", f.Path, lab.ErrNotLab), hint: "tcpmangle check " + f.Path}
		}
	}
	if len(files) == 0 {
		return nil, &usageError{err: fmt.Errorf("%s: no lab file in there", strings.Join(args, ", "))}
	}
	return files, nil
}

func pathsOf(files []*lab.File) (paths []string) {
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	return paths
}

// ready makes sure that hosts can be made here. Where only a user namespace of our
// own can, the command runs in one, and is over then.
func ready() (over bool, err error) {
	if netns.NeedUserNS() {
		return true, inUserNamespace()
	}
	return false, netns.Check()
}

// inUserNamespace runs this command again where it has the rights to make hosts.
// Signals are for that one to answer; Reexec passes them on.
func inUserNamespace() error {
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	status, err := netns.Reexec(os.Args[1:])
	if err != nil {
		return err
	}
	if status != 0 {
		return &exitError{status}
	}
	return nil
}

// A labRun is one execution of one file.
type labRun struct {
	file *lab.File
	ip   int
}

func (f *labFlags) plan(files []*lab.File) (runs []labRun) {
	for range f.repeat {
		for _, file := range files {
			for _, ip := range file.IP {
				if f.ip == 0 || f.ip == ip {
					runs = append(runs, labRun{file, ip})
				}
			}
			if f.ip != 0 && len(file.IP) == 1 && file.IP[0] != f.ip {
				runs = append(runs, labRun{file, f.ip})
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

func (b *batch) run(r labRun) (err error) {
	for _, path := range []string{b.pcap, b.svg} {
		if err := b.writable(path); err != nil {
			return err
		}
	}
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
	if b.events != "" {
		events, openErr := b.create(b.events)
		if openErr != nil {
			return fmt.Errorf("events: %w", openErr)
		}
		defer func() { err = errors.Join(err, events.Close()) }()
		opts.Events = events
	}
	result, err := lab.Execute(b.ctx, r.file, opts)
	if err != nil {
		return &machineError{fmt.Errorf("%s: %w", r.file.Path, err)}
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

// isTerminal tells whether somebody looks at what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}
