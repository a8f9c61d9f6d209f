package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/internal/netns"
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
	flags.StringVar(&f.junit, "junit", "", "write the verdicts to this `file` as JUnit XML (- is standard output)")
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
	if f.junit == "-" && (f.events == "-" || bool(f.explain)) {
		return usage(cmd, errors.New("--junit - writes to standard output, as do --events - and --explain"))
	}
	if len(runs) > 1 && (f.events != "" || f.pcap != "" || f.svg != "" || bool(f.explain)) {
		return usage(cmd, fmt.Errorf("--events, --pcap, --svg and --explain hold one run; these files make %d", len(runs)))
	}
	if err := guard(pathsOf(files), unlessStdout(f.events), unlessStdout(f.junit), f.pcap, f.svg); err != nil {
		return err
	}
	if over, err := ready(pathsOf(files)...); over || err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.ErrOrStderr())
	defer stop()
	b := &batch{labFlags: f, ctx: ctx, out: cmd.OutOrStdout(), report: f.report(cmd), err: cmd.ErrOrStderr(), runs: len(runs)}
	if err := b.open(); err != nil {
		return err
	}
	for _, r := range runs {
		if err = b.run(r); err != nil || b.over() {
			break
		}
	}
	return b.finish(err)
}

// report is where the ladder and the verdicts go, JUnit's apart.
func (f *labFlags) report(cmd *cobra.Command) io.Writer {
	if f.junit == "-" {
		return cmd.ErrOrStderr()
	}
	return f.outputs.report(cmd)
}

// ready makes sure that hosts can be made here. Where only a user namespace of our
// own can, the command runs in one, which reads its files anew, and is over then.
func ready(files ...string) (over bool, err error) {
	if !netns.NeedUserNS() {
		return false, netns.Check()
	}
	if err := rereadable(files); err != nil {
		return true, fmt.Errorf("without root a lab is read twice: %w", err)
	}
	return true, inUserNamespace()
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
