package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/client"
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
select. Black holes, and what the box was made to forget, are undone by heal.`,
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
	if ids == nil {
		conns, err := c.Connections(ctx, f.Filter)
		if err != nil {
			return err
		}
		for i := range conns {
			ids = append(ids, conns[i].Conn)
		}
	}
	var killed []client.Connection
	for _, id := range ids {
		conn, err := c.Act(ctx, id, f.action())
		if client.IsStatus(err, http.StatusNotFound) && f.Filter != (client.Filter{}) {
			continue // it has ended by itself meanwhile
		}
		if err != nil {
			return err
		}
		killed = append(killed, *conn)
	}
	if f.json {
		return writeJSON(cmd.OutOrStdout(), notNil(killed))
	}
	if len(killed) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "tcpmangle: no connection is like that; nothing was done")
	}
	for _, conn := range killed {
		fmt.Fprintf(cmd.OutOrStdout(), "%s %d: client %v %s, server %v %s\n", f.by, conn.Conn, conn.Client, conn.ClientState, conn.Server, conn.ServerState)
	}
	return nil
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
