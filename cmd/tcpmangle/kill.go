package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/conntrack"
)

type killFlags struct {
	instance
	filterFlags
	by   string
	to   string
	json bool
}

// killings are what can be done to a connection, and the parameter that says to whom.
var killings = map[string]string{"reset": "to", "fin": "to", "blackhole": "from", "forget": ""}

func killCommand() *cobra.Command {
	f := killFlags{by: "reset"}
	cmd := &cobra.Command{
		Use:   "kill [CONN...]",
		Short: "End connections of a running instance: by RST, by FIN, in a black hole",
		Long: `Kill does something to connections at once: those whose ids are given, or those that the flags
select, and tells the states that it has led to. Connections in TIME_WAIT are selected too: a reset ends them.
If the flags select none, that is an error. Black holes, and what the box was made to forget, are undone by heal.`,
		Example: `  tcpmangle kill 7
  tcpmangle kill --port 6379 --state ESTABLISHED --by fin --to client
  tcpmangle kill 7 --by blackhole --to server`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := f.read(args)
			if err != nil {
				return usage(cmd, err)
			}
			return f.talk(cmd, func(c *client.Client) error { return f.run(cmd, c, ids) })
		},
	}
	flags := cmd.Flags()
	f.instance.flags(flags)
	f.filterFlags.flags(flags)
	flags.StringVar(&f.by, "by", f.by, "`action`: reset, fin, blackhole or forget")
	flags.StringVar(&f.to, "to", "", "`side` that gets it, or is lost: client, server or both (default both)")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// read reads the ids, and refuses to kill all connections for want of any.
func (f *killFlags) read(args []string) (ids []uint64, err error) {
	if _, ok := killings[f.by]; !ok {
		return nil, fmt.Errorf("--by is reset, fin, blackhole or forget, not %q", f.by)
	}
	if f.by == "forget" && f.to != "" {
		return nil, errors.New("--to says nothing to --by forget: the box forgets both ends")
	}
	for _, arg := range args {
		id, err := strconv.ParseUint(strings.TrimPrefix(arg, "#"), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no connection; tcpmangle conns lists them", arg)
		}
		ids = append(ids, id)
	}
	selects := f.Filter != client.Filter{}
	switch {
	case ids == nil && !selects:
		return nil, errors.New("kill needs a connection, or flags that select some")
	case ids != nil && selects:
		return nil, errors.New("kill takes ids, or flags that select connections, not both")
	}
	return ids, nil
}

func (f *killFlags) run(cmd *cobra.Command, c *client.Client, ids []uint64) error {
	ctx := cmd.Context()
	selected, err := f.find(ctx, c, ids)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if ids == nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "tcpmangle: "+selectedWords(selected))
	}
	killed := []client.Connection{}
	for i := range selected {
		before := &selected[i]
		after, err := c.Act(ctx, before.Conn, f.action())
		if client.IsStatus(err, http.StatusNotFound) && ids == nil {
			continue // it has ended by itself meanwhile
		}
		if err != nil {
			return err
		}
		if killed = append(killed, *after); f.json {
			continue
		}
		if _, err := fmt.Fprintf(out, "%s %d: client %v %s, server %v %s\n", f.by, after.Conn, after.Client,
			change(before.ClientState, after.ClientState), after.Server, change(before.ServerState, after.ServerState)); err != nil {
			return err
		}
	}
	if f.json {
		return writeJSON(out, killed)
	}
	return nil
}

// find gives the connections of ids, or those that the flags select: there has to be one.
func (f *killFlags) find(ctx context.Context, c *client.Client, ids []uint64) (found []client.Connection, err error) {
	for _, id := range ids {
		conn, err := c.Connection(ctx, id)
		if err != nil {
			return nil, err
		}
		found = append(found, *conn)
	}
	if ids == nil {
		found, err = c.Connections(ctx, f.Filter)
	}
	if err == nil && len(found) == 0 {
		err = &usageError{errors.New("no connection is like that; nothing was done"), "tcpmangle conns lists them, with --closed also those that are over"}
	}
	return found, err
}

// selectedWords say how many connections were selected, and which of them nobody may have thought of: after
// an active close TIME_WAIT is a connection like others, and a reset ends it.
func selectedWords(all []client.Connection) string {
	waiting := 0
	for i := range all {
		if c := &all[i]; c.ClientState == timeWait || c.ServerState == timeWait {
			waiting++
		}
	}
	words := count(len(all), "connection") + " selected"
	if waiting > 0 {
		words += fmt.Sprintf(", %d of them in TIME_WAIT", waiting)
	}
	return words
}

var timeWait = conntrack.TimeWait.String()

// change is a state, and the one before it if that was another.
func change(before, after string) string {
	if before == after {
		return after
	}
	return before + " > " + after
}

func (f *killFlags) action() client.Action {
	a := client.Action{Name: f.by, Params: map[string]any{}}
	to := f.to
	if to == "" {
		to = "both"
	}
	if key := killings[f.by]; key != "" {
		a.Params[key] = to
	}
	return a
}
