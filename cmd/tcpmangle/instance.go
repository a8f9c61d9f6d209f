package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcpmangle/tcpmangle/client"
)

// Commands that talk to a running instance are calls of its API, and no more.

// instanceCommands are these commands.
func instanceCommands() []*cobra.Command {
	return []*cobra.Command{
		connsCommand(), rulesCommand(), eventsCommand(), waitCommand(), killCommand(), reloadCommand(), healCommand(),
	}
}

// An instance is where the instance is that a command talks to.
type instance struct{ api string }

func (i *instance) flags(f *pflag.FlagSet) {
	f.StringVar(&i.api, "api", "", "`address` of the instance: a unix socket or HOST:PORT (default: $"+client.EnvAddress+", else that of this machine)")
}

// talk gives a command a client of the instance.
func (i *instance) talk(cmd *cobra.Command, do func(*client.Client) error) error {
	c, err := client.New(i.api)
	if err != nil {
		return usage(cmd, err)
	}
	defer c.Close()
	return do(c)
}

// explainInstance explains why a call to an instance failed; ok is false if it was none.
func explainInstance(stderr io.Writer, err error) (status int, ok bool) {
	if away, is := errors.AsType[*client.NotRunning](err); is {
		complain(stderr, away, "tcpmangle run starts one; --api or $"+client.EnvAddress+" says where it listens")
		return exitMachine, true
	}
	answer, is := errors.AsType[*client.Error](err)
	if !is {
		return 0, false
	}
	for _, m := range answer.Mistakes {
		fmt.Fprintf(stderr, "%s\n%s", m.String(), m.Excerpt)
	}
	complain(stderr, errors.New(answer.Message), answer.Hint)
	if answer.Status == http.StatusServiceUnavailable {
		return exitMachine, true // it has ended, and the call is as good as any
	}
	return exitUsage, true
}

// A table is a list as people and as programs want it: in columns under their names on a terminal,
// else with tabs between the cells and no names.
type table struct {
	columns []string
	rows    [][]string
}

func (t *table) add(cells ...any) {
	var row []string
	for _, c := range cells {
		row = append(row, fmt.Sprint(c))
	}
	t.rows = append(t.rows, row)
}

func (t *table) write(w io.Writer, forPeople bool) error {
	rows := t.rows
	out := w
	if forPeople {
		columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		defer columns.Flush()
		out, rows = columns, append([][]string{t.columns}, rows...)
	}
	for _, row := range rows {
		if _, err := fmt.Fprintln(out, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return nil
}

// filterFlags select connections.
type filterFlags struct{ client.Filter }

func (f *filterFlags) flags(set *pflag.FlagSet) {
	set.StringVar(&f.State, "state", "", "one endpoint is in one of these `states`, with commas between")
	set.StringVar(&f.ClientState, "client-state", "", "the client is in one of these `states`")
	set.StringVar(&f.ServerState, "server-state", "", "the server is in one of these `states`")
	set.StringVar(&f.Port, "port", "", "the server's `port`: numbers and ranges, with commas between")
	set.StringVar(&f.Filter.Client, "client", "", "the client's `address` or CIDR, with optional port")
	set.StringVar(&f.Server, "server", "", "the server's `address` or CIDR, with optional port")
	set.StringVar(&f.Tag, "tag", "", "a `tag` is set")
}
