package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/client"
)

type connsFlags struct {
	instance
	filterFlags
	watch bool
	json  bool
}

func connsCommand() *cobra.Command {
	var f connsFlags
	cmd := &cobra.Command{
		Use:   "conns",
		Short: "List the connections of a running instance, with both endpoints' states",
		Long: `Conns lists the connections that a running instance follows. States are inferred from what
each endpoint has sent and what was delivered to it. The first column is the id that other
commands and events use; the last ones are the bytes that each endpoint has sent, and how many of
them have arrived, if not all have: 0 of 5.`,
		Example: `  tcpmangle conns --port 6379
  tcpmangle conns --state CLOSE_WAIT,FIN_WAIT_2 --watch`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.talk(cmd, func(c *client.Client) error { return f.run(cmd, c) })
		},
	}
	flags := cmd.Flags()
	f.instance.flags(flags)
	f.filterFlags.flags(flags)
	flags.BoolVar(&f.Closed, "closed", false, "also connections that both endpoints have closed")
	flags.BoolVarP(&f.watch, "watch", "w", false, "list them again each second, until interrupted")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *connsFlags) run(cmd *cobra.Command, c *client.Client) error {
	out := cmd.OutOrStdout()
	if !f.watch {
		return f.list(cmd.Context(), c, out)
	}
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if isTerminal(out) {
			fmt.Fprint(out, "\x1b[H\x1b[2J")
		}
		if err := f.list(ctx, c, out); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *connsFlags) list(ctx context.Context, c *client.Client, out io.Writer) error {
	conns, err := c.Connections(ctx, f.Filter)
	if err != nil {
		return err
	}
	if f.json {
		return writeJSON(out, notNil(conns))
	}
	t := table{columns: []string{"CONN", "CLIENT", "STATE", "SERVER", "STATE", "AGE", "IDLE", "FAULTS", "CLIENT SENT", "SERVER SENT"}}
	for i := range conns {
		c := &conns[i]
		t.add(c.Conn, c.Client, c.ClientState, c.Server, c.ServerState, rounded(c.Age), rounded(c.Idle), faultsOf(c),
			sentOf(c.Bytes.Client), sentOf(c.Bytes.Server))
	}
	return t.write(out, isTerminal(out))
}

// sentOf says how much an endpoint has sent, and how much of it has arrived.
func sentOf(s client.Stream) string {
	if s.Delivered == s.Sent {
		return fmt.Sprint(s.Sent)
	}
	return fmt.Sprintf("%d of %d", s.Delivered, s.Sent)
}

// faultsOf says what holds up a connection, and how it is marked.
func faultsOf(c *client.Connection) string {
	var words []string
	for _, side := range c.Lost {
		words = append(words, side+" lost")
	}
	if c.Held > 0 {
		words = append(words, fmt.Sprintf("%d held", c.Held))
	}
	for _, tag := range c.Tags {
		words = append(words, "#"+tag)
	}
	return strings.Join(words, ", ")
}

// rounded is a duration as a list wants it.
func rounded(d client.Duration) time.Duration {
	if d := time.Duration(d); d < time.Second {
		return d.Round(time.Millisecond)
	}
	return time.Duration(d).Round(100 * time.Millisecond)
}

// notNil is a list that JSON writes as such.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
