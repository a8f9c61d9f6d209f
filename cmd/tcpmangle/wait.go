package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/client"
)

type waitFlags struct {
	instance
	filterFlags
	rule, fired, connections string
	within, lasts            time.Duration
	json                     bool
}

func waitCommand() *cobra.Command {
	var f waitFlags
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "Wait until a rule of a running instance has fired, or connections are in a state",
		Long: `Wait ends with status 0 as soon as its condition holds, and with 1 when its time is over: then it says what
was there instead. With --lasts the condition has to hold so long from then on, without a break: one and the
same connection, or the number that --connections or --fired asks for. It is driven by what happens, so a state that
lasts microseconds is not missed. If the instance ends first, that is no verdict, but status 3.`,
		Example: `  tcpmangle wait --rule lose-last-ack --fired ">= 2"
  tcpmangle wait --port 6379 --client-state FIN_WAIT_2 --connections ">= 10" --within 1m
  tcpmangle wait --port 6379 --server-state CLOSE_WAIT --lasts 30s`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.talk(cmd, func(c *client.Client) error { return f.run(cmd, c) })
		},
	}
	flags := cmd.Flags()
	f.instance.flags(flags)
	f.filterFlags.flags(flags)
	flags.StringVar(&f.rule, "rule", "", "`name` of a rule that is to fire")
	flags.StringVar(&f.fired, "fired", "", "so `often` (default \">= 1\")")
	flags.StringVar(&f.connections, "connections", "", "so `many` connections that the other flags select (default \">= 1\")")
	flags.DurationVar(&f.within, "within", client.DefaultWithin, "how long to wait for it to begin, at most")
	flags.DurationVar(&f.lasts, "lasts", 0, "how long it has to hold from then on")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// atOnce is so short that a wait only looks; 0 in a condition is the default.
const atOnce = time.Nanosecond

func (f *waitFlags) run(cmd *cobra.Command, c *client.Client) error {
	w, err := c.Wait(cmd.Context(), client.Condition{
		Rule: f.rule, Fired: f.fired, Filter: f.Filter, Connections: f.connections,
		Within: client.Duration(cmp.Or(f.within, atOnce)), Lasts: client.Duration(f.lasts),
	})
	if err != nil {
		return err
	}
	if f.json {
		if err := writeJSON(cmd.OutOrStdout(), w); err != nil {
			return err
		}
	}
	if !w.Met {
		if !f.json {
			complain(cmd.ErrOrStderr(), fmt.Errorf("after %v: %s", rounded(w.Took), w.Why), "")
		}
		return errFailed
	}
	return nil
}
