package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/internal/ladder"
)

func playCommand() *cobra.Command {
	var (
		verbose, asJSON bool
		seed            seedFlag
	)
	cmd := &cobra.Command{
		Use:   "play FILE.ladder|FOLDER...",
		Short: "Play ladder scripts in virtual time: no root, no devices",
		Long: `Play hands the box the segments that a ladder script says, at the times that it says, and
checks that what leaves is what the script expects: nothing more, nothing less, and not a
microsecond off. It is what the project tests itself with.`,
		Example: "  tcpmangle play engine/testdata",
		Args:    atLeastOne("a ladder script or a folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := expand(args, ".ladder")
			if err != nil {
				return err
			}
			opts := ladder.Options{Seed: seed.seed, HasSeed: seed.given}
			reports, err := play(files, opts)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), laddersJSON(reports))
			} else {
				err = writeLadders(cmd.OutOrStdout(), reports, verbose)
			}
			if err == nil && failures(reports) > 0 {
				err = errFailed
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print the ladder of scripts that pass, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the outcome as JSON")
	cmd.Flags().Var(&seed, "seed", "`number` that the dice start from (default: the script's)")
	return cmd
}

// play plays all scripts once each of them is sound.
func play(files []string, opts ladder.Options) (reports []*ladder.Report, err error) {
	scripts, err := loadAll[ladder.Errors](files, ladder.Load)
	if err != nil {
		return nil, err
	}
	for _, s := range scripts {
		reports = append(reports, s.Play(opts))
	}
	return reports, nil
}

func failures(reports []*ladder.Report) (n int) {
	for _, r := range reports {
		if r.Err != nil {
			n++
		}
	}
	return n
}

func writeLadders(w io.Writer, reports []*ladder.Report, verbose bool) error {
	for _, r := range reports {
		if verbose || r.Err != nil {
			if err := r.WriteText(w); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "PASS %s: %s\n", r.Name, r.Title)
	}
	_, err := fmt.Fprintf(w, "%d passed, %d failed\n", len(reports)-failures(reports), failures(reports))
	return err
}

type ladderJSON struct {
	File    string     `json:"file"`
	Title   string     `json:"title"`
	Verdict string     `json:"verdict"`
	Why     string     `json:"why,omitempty"`
	Seed    uint64     `json:"seed"`
	Seconds float64    `json:"seconds"`
	Rules   []ruleJSON `json:"rules"`
}

func laddersJSON(reports []*ladder.Report) (all []ladderJSON) {
	for _, r := range reports {
		j := ladderJSON{
			File: r.Name, Title: r.Title, Verdict: "pass", Seed: r.Seed,
			Seconds: r.Took.Seconds(), Rules: rulesJSON(r.Rules),
		}
		if r.Err != nil {
			j.Verdict, j.Why = "fail", r.Err.Error()
		}
		all = append(all, j)
	}
	return all
}
