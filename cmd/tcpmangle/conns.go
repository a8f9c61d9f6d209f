package main

import (
	"context"
	"encoding/json"
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
them have arrived, if not all have: 0 of 5. NOTES tell what the box does to a connection: whose segments
it loses, that it was made to forget it, how many segments it holds; tags are #NAME. One that was picked up
was open before the box came: its roles are guesses, and its AGE counts from then.

With --watch, where it is not on a terminal, a line with the time begins each list; with --json each
list is a line, {"time": ..., "connections": [...]}.`,
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
		if err := f.listAgain(ctx, c, out); err != nil && ctx.Err() == nil {
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
	switch {
	case err != nil:
		return err
	case f.json:
		return writeJSON(out, notNil(conns))
	}
	return writeConns(out, conns)
}

// listAgain is list for --watch: one can tell where a list begins, and of when it is.
func (f *connsFlags) listAgain(ctx context.Context, c *client.Client, out io.Writer) error {
	conns, err := c.Connections(ctx, f.Filter)
	if err != nil {
		return err
	}
	now := time.Now().Format("2006-01-02T15:04:05.000Z07:00")
	switch {
	case f.json:
		return json.NewEncoder(out).Encode(struct {
			Time        string              `json:"time"`
			Connections []client.Connection `json:"connections"`
		}{now, notNil(conns)})
	case isTerminal(out):
		_, err = fmt.Fprint(out, "\x1b[H\x1b[2J")
	default:
		_, err = fmt.Fprintf(out, "# %s\n", now)
	}
	if err != nil {
		return err
	}
	return writeConns(out, conns)
}

func writeConns(out io.Writer, conns []client.Connection) error {
	t := table{columns: []string{"CONN", "CLIENT", "STATE", "SERVER", "STATE", "AGE", "IDLE", "NOTES", "CLIENT SENT", "SERVER SENT"}}
	for i := range conns {
		c := &conns[i]
		t.add(c.Conn, c.Client, c.ClientState, c.Server, c.ServerState, rounded(c.Age), rounded(c.Idle), notesOf(c),
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

// notesOf says what holds up a connection, how it is marked, and whether its roles are guesses.
func notesOf(c *client.Connection) string {
	var words []string
	if c.PickedUp {
		words = append(words, "picked up")
	}
	for _, side := range c.Lost {
		words = append(words, side+" lost")
	}
	if c.Forgotten {
		words = append(words, "forgotten")
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
