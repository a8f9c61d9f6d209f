package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/client"
)

func rulesCommand() *cobra.Command {
	var i instance
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List the rules of a running instance, and how often they have fired",
		Long: `Rules lists the rules in force, in the order in which a segment meets them, how often each has
fired, and of one that has not, what came closest. Its subcommands change single rules.

The keys of a rule file are in tcpmangle help rules.`,
		Example: `  tcpmangle rules
  tcpmangle rules disable lose-last-ack`,
		Args: onlySubcommands,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return i.talk(cmd, func(c *client.Client) error {
				list, err := c.Rules(cmd.Context())
				if err != nil {
					return err
				}
				return printRules(cmd.OutOrStdout(), asJSON, list, list.Rules)
			})
		},
	}
	i.flags(cmd.PersistentFlags())
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	for _, verb := range []struct {
		name, short string
		do          func(*client.Client, context.Context, string) (*client.Rule, error)
	}{
		{"enable", "Wake rules", (*client.Client).Enable},
		{"disable", "Put rules to sleep; what they have left behind stays", (*client.Client).Disable},
		{"release", "Let go what rules hold", (*client.Client).ReleaseRule},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: verb.name + " RULE...", Short: verb.short, Args: atLeastOne("the name of a rule"),
			ValidArgsFunction: offerRules,
			RunE: func(cmd *cobra.Command, args []string) error {
				return i.talk(cmd, func(c *client.Client) error {
					var changed []client.Rule
					for _, name := range args {
						r, err := verb.do(c, cmd.Context(), name)
						if err != nil {
							return err
						}
						changed = append(changed, *r)
					}
					return printRules(cmd.OutOrStdout(), asJSON, changed, changed)
				})
			},
		})
	}
	return cmd
}

// printRules prints rules; v is what JSON has of them.
func printRules(out io.Writer, asJSON bool, v any, list []client.Rule) error {
	if asJSON {
		return writeJSON(out, v)
	}
	t := table{columns: []string{"RULE", "FIRED", "AWAKE", "HELD", "FROM", "ACTIONS", ""}}
	for _, r := range list {
		awake := "yes"
		if !r.Enabled {
			awake = "no"
		}
		t.add(r.Name, r.Fired, awake, r.Held, r.Layer, strings.Join(r.Actions, ","), r.WhyNot)
	}
	return t.write(out, isTerminal(out))
}

func healCommand() *cobra.Command {
	var i instance
	cmd := &cobra.Command{
		Use:   "heal",
		Short: "End all faults of a running instance",
		Long: `Heal puts all rules to sleep, fills black holes, undoes what the box was made to forget, and lets go what is
held. Connections go on. tcpmangle rules enable wakes rules again.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return i.talk(cmd, func(c *client.Client) error { return c.Heal(cmd.Context()) })
		},
	}
	i.flags(cmd.Flags())
	return cmd
}
