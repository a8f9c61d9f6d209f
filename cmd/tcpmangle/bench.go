package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/internal/bench"
)

func benchCommand() *cobra.Command {
	var quick, asJSON bool
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what the box costs on this machine",
		Long: `Bench measures the box next to the kernel's own forwarding on veth and, where their programs
are on PATH, next to Toxiproxy (toxiproxy-server) and HAProxy in TCP mode: bulk transfer,
request and response, connections a second, CPU time. Everything is built in namespaces of
its own and gone afterwards. Ways and rounds are interleaved, and medians compared, so that
the ratios hold even where the numbers do not; a quiet machine helps all the same.

It takes less than two minutes, with --quick less than half a one.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg := bench.Standard()
			if quick {
				cfg = bench.Quick()
			}
			return runBench(cmd, cfg, asJSON)
		},
	}
	cmd.Flags().BoolVar(&quick, "quick", false, "shorter, and less sure of itself")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON, with each round")
	cmd.AddCommand(benchEndpointCommand())
	return cmd
}

// benchEndpointCommand is what bench starts in its namespaces.
func benchEndpointCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "endpoint",
		Hidden: true,
		Args:   noArguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			return bench.Endpoint(os.Stdin, os.Stdout)
		},
	}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd, fmt.Errorf("%s takes no argument, not %q", cmd.Name(), args[0]))
	}
	return nil
}

func runBench(cmd *cobra.Command, cfg bench.Config, asJSON bool) error {
	if over, err := ready(); over || err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.ErrOrStderr())
	defer stop()
	cfg.Endpoint = []string{"bench", "endpoint"}
	progress := newProgressLine(cmd.ErrOrStderr())
	cfg.Progress = progress.show
	report, err := bench.Run(ctx, cfg)
	progress.clear()
	switch {
	case ctx.Err() != nil:
		return interruption(ctx) // which has been said
	case err != nil:
		return err
	case asJSON:
		return writeJSON(cmd.OutOrStdout(), report)
	}
	return report.Write(cmd.OutOrStdout())
}

// A progressLine is one line that is written over again, on a terminal only.
type progressLine struct{ w io.Writer }

func newProgressLine(w io.Writer) *progressLine {
	if !isTerminal(w) {
		w = io.Discard
	}
	return &progressLine{w}
}

const clearLine = "\r\x1b[K"

func (p *progressLine) show(done, total int, step string) {
	fmt.Fprintf(p.w, "%s%3d %% %s", clearLine, 100*done/total, step)
}

func (p *progressLine) clear() { fmt.Fprint(p.w, clearLine) }
