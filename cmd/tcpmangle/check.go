package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/internal/schema"
	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/rules"
)

func checkCommand() *cobra.Command {
	var asJSON, asSchema bool
	cmd := &cobra.Command{
		Use:   "check FILE|FOLDER...",
		Short: "Validate rule and lab files; print every mistake at its place",
		Long: `Check reads rule and lab files whole, as the other commands do before they run anything.

With --schema it prints the JSON schema of these files. Editors with a TOML language server
complete and check keys by it, where a file begins with: #:schema ./tcpmangle.schema.json`,
		Example: "  tcpmangle check examples/rules\n  tcpmangle check --schema > tcpmangle.schema.json",
		Args: func(cmd *cobra.Command, args []string) error {
			if asSchema {
				if len(args) > 0 {
					return usage(cmd, errors.New("--schema is about all files, and goes without one"))
				}
				return nil
			}
			return atLeastOne("a file or a folder")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if asSchema {
				_, err := cmd.OutOrStdout().Write(schema.JSON())
				return err
			}
			files, err := expand(args, ".toml")
			if err != nil {
				return err
			}
			if asJSON {
				return checkJSON(cmd, files)
			}
			labs, err := loadLabs(files)
			if err != nil {
				return err
			}
			for _, f := range labs {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %s\n", f.Path, contents(f))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the mistakes as JSON")
	cmd.Flags().BoolVar(&asSchema, "schema", false, "print the JSON schema of the files, for editors")
	return cmd
}

// contents says what a good file holds.
func contents(f *lab.File) string {
	kind := "rules"
	if f.IsLab() {
		kind = "lab"
	}
	return fmt.Sprintf("%s, %s", kind, count(len(f.Rules.Rules), "rule"))
}

type mistakeJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Col     int    `json:"col"`
	Message string `json:"message"`
}

func checkJSON(cmd *cobra.Command, files []string) error {
	_, err := loadLabs(files)
	mistakes, unread := apart(err)
	if mistakes == nil && unread != nil {
		return unread
	}
	list := make([]mistakeJSON, 0, len(mistakes))
	for _, m := range mistakes {
		place := fmt.Sprintf("%s:%d:%d: ", m.File, m.Line, m.Col)
		list = append(list, mistakeJSON{m.File, m.Line, m.Col, strings.TrimPrefix(m.Error(), place)})
	}
	if err := writeJSON(cmd.OutOrStdout(), list); err != nil {
		return err
	}
	if unread == nil && len(list) > 0 {
		return &exitError{exitUsage}
	}
	return unread
}

// apart parts what loadLabs says into mistakes, which have a place, and the rest.
func apart(err error) (mistakes rules.Errors, unread error) {
	if bad, ok := errors.AsType[*badFiles](err); ok {
		mistakes, _ = bad.mistakes.(rules.Errors)
		return mistakes, &usageError{err: errors.Join(bad.unread...)}
	}
	if errors.As(err, &mistakes) {
		return mistakes, nil
	}
	return nil, err
}
