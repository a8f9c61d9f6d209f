package main

import (
	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/rules"
)

// helpCommand is cobra's but for topics, which come before commands of the same name, for
// actions, which come after them, and for its answer to an unknown name, which is a mistake in
// the call and no success.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND|TOPIC|ACTION]",
		Short: "Help about any command, topic or action",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if t := findTopic(args[0]); t != nil {
					t.write(cmd.OutOrStdout())
					return nil
				}
			}
			target, rest, err := root.Find(args)
			if err == nil && len(rest) == 0 {
				target.InitDefaultHelpFlag()
				return target.Help()
			}
			if len(args) == 1 {
				if t := findAction(args[0]); t != nil {
					t.write(cmd.OutOrStdout())
					return nil
				}
			}
			return usage(root, unknown("command or topic", args[len(args)-max(len(rest), 1)], helpNames(root)))
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return helpNames(root), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// helpNames are what there is help about: commands, topics and actions.
func helpNames(root *cobra.Command) []string {
	names := subcommandNames(root)
	for _, t := range topics {
		names = append(names, t.name)
	}
	for _, f := range rules.Faults() {
		names = append(names, f.Name)
	}
	return names
}
