package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// flagValues are what the flags of that name can be, on whichever command, for a shell's completion.
var flagValues = map[string]func(*cobra.Command) []string{
	"state":        states,
	"client-state": states,
	"server-state": states,
	"type":         fixed(engine.EventTypes()...),
	"by":           fixed("reset", "fin", "blackhole", "forget"),
	"to":           fixed("client", "server", "both"),
	"offload":      fixed(tunnel.Auto.String(), tunnel.On.String(), tunnel.Off.String()),
	"ip":           fixed("4", "6"),
	"workers":      fixed("auto"),
	"netns":        namespaces,
	"rule":         ruleNames,
}

// completionCommand is cobra's but for its answer to a shell that it does not know, which is a mistake
// in the call and no success.
func completionCommand(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	cmd, _, _ := root.Find([]string{"completion"})
	cmd.Args = onlySubcommands
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// complete tells a shell's completion of a command and those below it what values there are.
func complete(cmd *cobra.Command) {
	for name, values := range flagValues {
		if cmd.Flags().Lookup(name) != nil {
			cmd.RegisterFlagCompletionFunc(name, offer(values))
		}
	}
	if cmd.Flags().Lookup("file") != nil {
		cmd.MarkFlagFilename("file", "toml")
	}
	for _, c := range cmd.Commands() {
		complete(c)
	}
}

// offer completes one value, or the last of several with commas between.
func offer(values func(*cobra.Command) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begun string) (all []string, _ cobra.ShellCompDirective) {
		before := begun[:strings.LastIndexByte(begun, ',')+1]
		for _, v := range values(cmd) {
			all = append(all, before+v)
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// offerRules completes the names of an instance's rules, each once.
func offerRules(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return slices.DeleteFunc(ruleNames(cmd), func(name string) bool { return slices.Contains(args, name) }),
		cobra.ShellCompDirectiveNoFileComp
}

func fixed(values ...string) func(*cobra.Command) []string {
	return func(*cobra.Command) []string { return values }
}

func states(*cobra.Command) []string { return conntrack.StateNames() }

func namespaces(*cobra.Command) (names []string) {
	entries, _ := os.ReadDir(inline.NamespacePath("")) // none where there is no folder
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// completionTime is how long somebody at a shell waits for names.
const completionTime = time.Second

// ruleNames are those of the rules of an instance, if one answers.
func ruleNames(cmd *cobra.Command) (names []string) {
	c, err := client.New(cmd.Flag("api").Value.String())
	if err != nil {
		return nil
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	list, err := c.Rules(ctx)
	if err != nil {
		return nil
	}
	for _, r := range list.Rules {
		names = append(names, r.Name)
	}
	return names
}
