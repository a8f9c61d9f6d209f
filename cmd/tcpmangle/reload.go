package main

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	texts, err := readTexts(paths)
	if err != nil {
		return nil, err
	}
	var all []client.File
	for _, t := range texts {
		all = append(all, client.File{Name: t.File, Text: t.Text})
	}
	return c.SetFiles(ctx, all...)
}

// readTexts reads files; what cannot be read comes together.
func readTexts(paths []string) (texts []rules.Text, err error) {
	var unread []error
	for _, path := range paths {
		text, err := os.ReadFile(path)
		texts, unread = append(texts, rules.Text{File: path, Text: string(text)}), append(unread, err)
	}
	if err := errors.Join(unread...); err != nil {
		return nil, &usageError{err: err}
	}
	return texts, nil
}

// An intake takes rule files for a box that is there already. It refuses what only a start can do, so
// that nothing in a file is silently without effect.
type intake struct {
	paths   []string // the files of the call; none: there is nothing to read again
	started []*lab.File
	command bool                   // the box is in front of one
	admits  func(*rules.Set) error // of the way in; nil: all
}

// again reads the files of the call.
func (in *intake) again() (*rules.Set, error) {
	texts, err := readTexts(in.paths)
	if err != nil {
		return nil, err
	}
	return in.read(texts...)
}

// read reads files that are there.
func (in *intake) read(texts ...rules.Text) (*rules.Set, error) {
	files, err := parseLabs(texts)
	if err != nil {
		return nil, err
	}
	set, err := rules.ParseAll(texts...)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := in.check(f); err != nil {
			return nil, err
		}
	}
	if in.admits == nil {
		return set, nil
	}
	return set, in.admits(set)
}

// parseLabs reads the texts of lab and rule files; what is wrong with any of them comes together.
func parseLabs(texts []rules.Text) ([]*lab.File, error) {
	return loadAll[rules.Errors](texts, func(t rules.Text) (*lab.File, error) { return lab.Parse(t.File, t.Text) })
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
