package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/rules"
)

func reloadCommand() *cobra.Command {
	var i instance
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reload [FILE...]",
		Short: "Have a running instance read its rule files again, or others",
		Long: `Reload puts other rules in force in one step: the instance's files as they are now, or those that are
named, in their order, until the next reload. Of a folder all *.toml in it are read. Connections
keep their states, and rules that did not change their counts. With a mistake anywhere nothing changes.

Proxies and expectations are those of the start: a file that has others is refused, as a lab is.`,
		Example: `  tcpmangle reload
  tcpmangle reload base.toml faults/`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return i.talk(cmd, func(c *client.Client) error {
				list, err := reload(cmd.Context(), c, args)
				if err != nil {
					return err
				}
				return printRules(cmd.OutOrStdout(), asJSON, list, list.Rules)
			})
		},
	}
	i.flags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func reload(ctx context.Context, c *client.Client, files []string) (*client.Rules, error) {
	if len(files) == 0 {
		return c.Reload(ctx)
	}
	paths, err := expand(files, ".toml")
	if err != nil {
		return nil, err
	}
	texts, err := mustRead(paths)
	if err != nil {
		return nil, err
	}
	var all []client.File
	for _, t := range texts {
		all = append(all, client.File{Name: t.File, Text: t.Text})
	}
	return c.SetFiles(ctx, all...)
}

// An intake takes rule files for a box that is there already. It refuses what only a start can do, so
// that nothing in a file is silently without effect.
type intake struct {
	paths   []string // the files of the call; none: there is nothing to read again
	started []*lab.File
	command bool                   // the box is in front of one
	admits  func(*rules.Set) error // of the way in; nil: all
}

// again reads the files of the call once more.
func (in *intake) again() (*rules.Set, error) {
	if err := rereadable(in.paths); err != nil {
		return nil, err
	}
	texts, err := mustRead(in.paths)
	if err != nil {
		return nil, err
	}
	return in.read(texts...)
}

// read reads files that are there.
func (in *intake) read(texts ...rules.Text) (*rules.Set, error) {
	files, err := parseRules(texts)
	if err != nil {
		return nil, err
	}
	for _, f := range files.labs {
		if err := in.check(f); err != nil {
			return nil, err
		}
	}
	if in.admits == nil {
		return files.set, nil
	}
	return files.set, in.admits(files.set)
}

// check refuses what a file has besides rules, unless the box was started with it.
func (in *intake) check(f *lab.File) error {
	if _, err := trialOf([]*lab.File{f}, in.command); err != nil {
		return err
	}
	var proxies []lab.Proxy
	var expected []string
	for _, s := range in.started {
		proxies, expected = append(proxies, s.Proxies()...), append(expected, s.Expectations()...)
	}
	const late = "%s: %s is not among those of the start; a reload changes rules only"
	for _, p := range f.Proxies() {
		if !slices.Contains(proxies, p) {
			return &usageError{err: fmt.Errorf(late, f.Path, "the [[proxy]] to "+p.Upstream)}
		}
	}
	for _, text := range f.Expectations() {
		if !slices.Contains(expected, text) {
			return &usageError{err: fmt.Errorf(late, f.Path, "the expectation "+text)}
		}
	}
	return nil
}

// trialOf makes the trial of files in front of a command, or of services; hosts and what is expected of them
// are for a lab.
func trialOf(files []*lab.File, command bool) (*lab.Trial, error) {
	const hint = "tcpmangle lab runs both hosts"
	for _, f := range files {
		if f.IsLab() {
			return nil, &usageError{fmt.Errorf("%s: it has a [client] or a [server]: only a lab can run them", f.Path), hint}
		}
	}
	trial, err := lab.NewTrial(files, command)
	if err != nil {
		return nil, &usageError{err, hint}
	}
	return trial, nil
}
