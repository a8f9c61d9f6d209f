package main

import (
	"github.com/spf13/cobra"
)

// helpCommand is cobra's but for topics, which come before commands of the same name, and for
// its answer to an unknown name, which is a mistake in the call and no success.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND|TOPIC]",
		Short: "Help about any command or topic",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if t := findTopic(args[0]); t != nil {
					t.write(cmd.OutOrStdout())
					return nil
				}
			}
			target, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usage(root, unknownCommand(root, args[len(args)-max(len(rest), 1)]))
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			if len(args) == 0 {
				for _, c := range root.Commands() {
					names = append(names, c.Name())
				}
				for _, t := range topics {
					names = append(names, t.name)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
