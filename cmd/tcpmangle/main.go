// Command tcpmangle puts a box that knows TCP in the middle of connections. It
// reads flags and files and prints; it decides nothing about packets.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

func init() { cobra.EnableCommandSorting = false } // the help lists commands as they are used, groups first

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command as a function of its arguments; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) (status int) {
	defer func() {
		if bug := recover(); bug != nil {
			fmt.Fprintf(stderr, "tcpmangle: bug: %v\n%s", bug, debug.Stack())
			status = exitBug
		}
	}()
	root := newRoot()
	out := &output{Writer: stdout}
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(stderr)
	return explain(stderr, out.also(root.Execute()))
}

// interruptible is a context that ends with the first Ctrl-C, for commands that
// have something to clean up; the second one ends the process at once.
func interruptible(stderr io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		sig, ok := <-signals
		if !ok {
			return
		}
		fmt.Fprintln(stderr, "tcpmangle: interrupted, cleaning up; once more ends at once")
		cancel(killedBy(sig))
		if sig, ok := <-signals; ok {
			os.Exit(killedBy(sig).status)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel(nil)
	}
}

// outlivePipes lets what is written to a standard output or error that nobody reads any more fail, as
// writes to other files do, until stop. Else it would end the process, and what that has set up on
// this host would stay. The commands that it runs do as ever.
func outlivePipes() (stop func()) {
	nobody := make(chan os.Signal, 1)
	signal.Notify(nobody, syscall.SIGPIPE)
	return func() { signal.Stop(nobody) }
}

// interruption is the end of a command whose interruptible context has ended.
func interruption(ctx context.Context) error { return context.Cause(ctx) }

// killedBy is the exit status that a shell gives to a process which a signal has ended, as it
// ends the commands that do not catch it: 130 for Ctrl-C.
func killedBy(sig os.Signal) *exitError {
	number, _ := sig.(syscall.Signal)
	return &exitError{128 + int(number)}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tcpmangle",
		Short: "Reproduce TCP's faults on demand, exact to the segment",
		Long: `tcpmangle is a box in the middle of a TCP connection that knows TCP: it follows
the state of both endpoints, and does what a rule file says to exactly the segment
that the rule means. TCP stays end to end, between two real kernels.

What files may say is in tcpmangle help rules, lab, scripts, kinds and actions; one action's
part is in tcpmangle help delay, say.`,
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return nil
			case findTopic(args[0]) != nil:
				return &usageError{unknownCommand(cmd, args[0]), "tcpmangle help " + args[0]}
			}
			return usage(cmd, unknownCommand(cmd, args[0]))
		},
		PersistentPreRunE: refuseEmpty,
		RunE:              func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("tcpmangle {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, flagError(err)) })
	addGroup(root, "Experiments and files:", labCommand(), checkCommand(), replayCommand(), playCommand(), benchCommand())
	addGroup(root, "In front of real services:", execCommand(), runCommand(), doctorCommand())
	addGroup(root, "A running instance:", instanceCommands()...)
	root.AddCommand(versionCommand(), insideCommand())
	root.SetHelpCommand(helpCommand(root))
	completionCommand(root)
	complete(root)
	return root
}

// addGroup adds commands that the help lists together, under a title.
func addGroup(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, c := range commands {
		c.GroupID = title
	}
	root.AddCommand(commands...)
}

// onlySubcommands refuses arguments that are none.
func onlySubcommands(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd, unknownCommand(cmd, args[0]))
	}
	return nil
}

func unknownCommand(cmd *cobra.Command, name string) error {
	return unknown("command", name, subcommandNames(cmd))
}

func subcommandNames(cmd *cobra.Command) (names []string) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// unknown says that there is no such thing, and which one there is that is called much the same.
func unknown(what, name string, names []string) error {
	if near := tomldoc.Closest(name, names); near != "" {
		return fmt.Errorf("unknown %s %q; did you mean %q?", what, name, near)
	}
	return fmt.Errorf("unknown %s %q", what, name)
}
