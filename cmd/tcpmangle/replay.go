package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/internal/replay"
)

func replayCommand() *cobra.Command {
	var (
		files []string
		out   string
		o     outputs
		why   explainFlag
	)
	cmd := &cobra.Command{
		Use:   "replay -f RULES [flags] IN.pcapng",
		Short: "Run rules over a capture, offline, in virtual time",
		Long: `Replay hands the segments of a capture (pcap or pcapng) to the box as if their senders had
just sent them, and says what the rules would have done. It needs no privilege.

With one interface, the sender of a connection's first SYN stands on the client's side. With
two, hosts stand where their segments are seen first. Of a capture that is cut, all that is whole
is replayed, and standard error says so.`,
		Example: "  tcpmangle replay -f lose-fin.toml trouble.pcapng -w what-if.pcapng",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(cmd, fmt.Errorf("replay needs one capture, not %d", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(files) == 0 {
				return usage(cmd, fmt.Errorf("replay needs a rule file: -f RULES"))
			}
			if err := why.alone(&o); err != nil {
				return usage(cmd, err)
			}
			return runReplay(cmd, files, args[0], out, &o, why)
		},
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "rule `file`; may be repeated, files are read in order")
	cmd.Flags().StringVarP(&out, "write", "w", "", "write the outcome to this pcapng `file`")
	cmd.Flags().StringVar(&out, "pcap", "", "the same as --write: `file`")
	why.flag(cmd.Flags())
	o.flags(cmd.Flags())
	return cmd
}

func runReplay(cmd *cobra.Command, files []string, in, out string, o *outputs, why explainFlag) error {
	loaded, err := loadRules(files)
	if err != nil {
		return err
	}
	if err := guard(append(files, in), unlessStdout(o.events), out); err != nil {
		return err
	}
	if err := rereadable([]string{in}); err != nil {
		return fmt.Errorf("a capture is read twice: %w", err)
	}
	events, err := o.open()
	if err != nil {
		return err
	}
	seed := o.seedOf(loaded.set)
	explained := why.open(cmd.OutOrStdout())
	report, err := replay.Run(in, replay.Config{
		Rules: loaded.set, Seed: seed, OnEvent: events.record, OnLook: explained.look, AllEvents: o.allEvents, Out: out,
	})
	err = explained.close(err)
	if err := events.close(err); err != nil { // before the report: both may go to standard output
		return err
	}
	if report.Cut {
		complain(cmd.ErrOrStderr(), fmt.Errorf("%s ends within a packet: what came after %s is missing",
			in, count(report.Packets+report.Delivered+report.Skipped, "packet")), "")
	}
	write := writeReplay
	if o.json {
		write = writeReplayJSON
	}
	err = write(o.report(cmd), in, seed, report)
	if err == nil && neverFired(report.Rules) {
		err = errFailed
	}
	return err
}

func writeReplay(w io.Writer, in string, seed uint64, r *replay.Report) error {
	fmt.Fprintf(w, "%s: %s in %v, %s\n", in, count(r.Packets, "packet"), r.Span.Round(100*time.Microsecond), count(int(r.Stats.Segments), "segment"))
	if r.Delivered > 0 {
		fmt.Fprintf(w, "  %s passed over: seen on their receiver's side\n", count(r.Delivered, "packet"))
	}
	if r.Truncated > 0 {
		fmt.Fprintf(w, "  %s captured shorter than sent\n", count(r.Truncated, "packet"))
	}
	if r.Skipped > 0 {
		fmt.Fprintf(w, "  %s without an IP packet\n", count(r.Skipped, "frame"))
	}
	for _, line := range verdictLines(r.Stats) {
		fmt.Fprintf(w, "  %s\n", line)
	}
	writeRules(w, r.Rules)
	_, err := fmt.Fprintf(w, "seed %d\n", seed)
	return err
}

func writeReplayJSON(w io.Writer, in string, seed uint64, r *replay.Report) error {
	return writeJSON(w, struct {
		Capture   string            `json:"capture"`
		Seed      uint64            `json:"seed"`
		Packets   int               `json:"packets"`
		Delivered int               `json:"delivered"`
		Truncated int               `json:"truncated"`
		Skipped   int               `json:"skipped"`
		Cut       bool              `json:"cut"`
		Seconds   float64           `json:"seconds"`
		Segments  uint64            `json:"segments"`
		Verdicts  map[string]uint64 `json:"verdicts"`
		Rules     []ruleJSON        `json:"rules"`
	}{in, seed, r.Packets, r.Delivered, r.Truncated, r.Skipped, r.Cut, r.Span.Seconds(), r.Stats.Segments, verdicts(r.Stats), rulesJSON(r.Rules)})
}
