package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/engine"
)

type eventsFlags struct {
	instance
	client.EventFilter
	follow bool
	count  uint
	json   bool
}

func eventsCommand() *cobra.Command {
	var f eventsFlags
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what happens in a running instance, as it happens",
		Long: `Events prints what happens from now on, until it is interrupted or the instance ends, in whatever way. With -f it
waits for an instance, and for the next one when that has ended: it looks for one five times a second, so
what an instance does in its first moments may be missed (run --events misses nothing).

A --rule that the instance does not have is an error; with -f it may come later.`,
		Example: `  tcpmangle events --type state,rule
  tcpmangle events -f --json | jq 'select(.verdict == "drop")'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.talk(cmd, func(c *client.Client) error { return f.run(cmd, c) })
		},
	}
	flags := cmd.Flags()
	f.instance.flags(flags)
	flags.StringSliceVar(&f.Types, "type", nil, "only these `types`, with commas between")
	flags.Uint64Var(&f.Conn, "conn", 0, "only of this `connection`")
	flags.StringVar(&f.Rule, "rule", "", "only those on which this `rule` has fired")
	flags.BoolVar(&f.All, "all", false, "also of connections that no rule concerns")
	flags.BoolVarP(&f.follow, "follow", "f", false, "wait for an instance, and for the next one")
	flags.UintVarP(&f.count, "count", "n", 0, "end after so many `events`")
	flags.BoolVar(&f.json, "json", false, "print JSON lines")
	return cmd
}

// untilSignal is a context that an interruption ends, for commands that have nothing
// to clean up.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// again is how long -f lets pass before it looks for an instance again.
const again = 200 * time.Millisecond

func (f *eventsFlags) run(cmd *cobra.Command, c *client.Client) error {
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	if err := f.checkRule(ctx, c); err != nil {
		return err
	}
	left := f.count
	for {
		err := f.print(ctx, c, cmd.OutOrStdout(), &left)
		_, away := errors.AsType[*client.NotRunning](err)
		away = away || client.IsStatus(err, http.StatusServiceUnavailable) // it is about to end
		switch {
		case ctx.Err() != nil, err == nil && (!f.follow || f.count > 0 && left == 0):
			return nil
		case err != nil && !(away && f.follow):
			return err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
		}
	}
}

// checkRule refuses to wait for a rule that there is not.
func (f *eventsFlags) checkRule(ctx context.Context, c *client.Client) error {
	if f.follow || f.Rule == "" || f.Rule == engine.ByHand {
		return nil
	}
	_, err := c.Rule(ctx, f.Rule)
	return err
}

// print prints events until the instance ends, or none are left to be printed.
func (f *eventsFlags) print(ctx context.Context, c *client.Client, out io.Writer, left *uint) error {
	events, err := c.Events(ctx, f.EventFilter)
	if err != nil {
		return err
	}
	for e, err := range events {
		if err != nil {
			return err
		}
		if f.json {
			_, err = fmt.Fprintf(out, "%s\n", e.Line)
		} else {
			_, err = fmt.Fprintln(out, eventLine(&e))
		}
		if *left--; err != nil || *left == 0 {
			return err
		}
	}
	return nil
}

// eventLine is an event as people read it.
func eventLine(e *client.Event) string {
	words := []string{fmt.Sprintf("%.6f", e.Time), e.Type}
	if e.Conn != 0 {
		words = append(words, fmt.Sprintf("%d", e.Conn))
	}
	switch e.Type {
	case "open":
		words = append(words, fmt.Sprintf("%v > %v", e.Client, e.Server))
	case "segment", "deliver":
		words = append(words, e.From, e.Flags, fmt.Sprintf("%d:%d", e.Seq, e.Seq+uint32(e.Len)))
		if strings.Contains(e.Flags, "A") {
			words = append(words, fmt.Sprintf("ack %d", e.Ack))
		}
		words = append(words, e.Verdict, strings.Join(e.Rules, ","))
	case "state", "desync":
		words = append(words, e.Endpoint, e.FromState, ">", stateOf(e))
	case "rule":
		words = append(words, strings.Join(e.Rules, ","), e.Action)
	case "expect":
		words = append(words, e.Verdict)
	}
	words = append(words, e.Detail, e.Reason)
	if e.Type == "segment" || e.Type == "deliver" {
		words = append(words, "["+e.ClientState+" "+e.ServerState+"]")
	}
	return strings.Join(withoutEmpty(words), " ")
}

// stateOf is the state that an event's endpoint has come into.
func stateOf(e *client.Event) string {
	if e.Endpoint == "server" {
		return e.ServerState
	}
	return e.ClientState
}

func withoutEmpty(words []string) (kept []string) {
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return kept
}
