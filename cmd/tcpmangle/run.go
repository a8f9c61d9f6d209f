package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// runFlags are the flags of run.
type runFlags struct {
	boxFlags
	proxies   []string
	toxiproxy string
	netns     string
	pid       int
	container string
	ports     []string
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run -f RULES [--proxy ADDRESS=UPSTREAM]... [--netns NAME | --pid PID | --container NAME]",
		Short: "Stay inline in front of real services until interrupted",
		Long: `Run puts the box in front of services that need not know of it, and stays until SIGINT or
SIGTERM.

With --proxy, [[proxy]] or --toxiproxy it makes addresses that lead to services through the box.
ADDRESS is a virtual one, 198.18.0.2:6379, or one of this host, 127.0.0.1:26379; UPSTREAM is where the
service listens, its loopback too. TCP stays end to end. The service sees clients of 198.19.0.0/16.

Otherwise it attaches to a network namespace, this one by default: traffic of the rules' ports
goes through the box and back, that of connections which are open already too.

SIGHUP has the files read again. Everything that was set up is undone at the end; after a kill -9
traffic takes its old way, and the next start clears up the rest. It needs root, Linux and /dev/net/tun.`,
		Example: `  tcpmangle run -f rules.toml --proxy 198.18.0.2:6379=127.0.0.1:6379
  tcpmangle run -f rules.toml --proxy 127.0.0.1:26379=db.example.com:5432
  tcpmangle run -f rules.toml --container web
  tcpmangle run --toxiproxy 127.0.0.1:8474`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	f.flags(flags)
	flags.StringVar(&f.api, "api", "", "`address` of the API: a unix socket, HOST:PORT, or off (default: this machine's own)")
	flags.StringArrayVar(&f.proxies, "proxy", nil, "`ADDRESS=UPSTREAM`: a service behind an address; may be repeated")
	flags.StringVar(&f.toxiproxy, "toxiproxy", "", "`address` at which to answer calls of Toxiproxy's API")
	flags.StringVar(&f.netns, "netns", "", "attach to this namespace, by `name` or path")
	flags.IntVar(&f.pid, "pid", 0, "attach to the namespace of this `process`")
	flags.StringVar(&f.container, "container", "", "attach to this container of docker or podman, by `name` or id")
	flags.StringSliceVar(&f.ports, "port", nil, "attach to these `ports` too: numbers and ranges, with commas between")
	return cmd
}

// A wayIn is what run can do: one of package inline, and what is to be said of it.
type wayIn interface {
	Devices() [2]tunnel.Device
	Hooks() []netns.Hook
	Undo() error
	// host is the namespace whose traffic it is.
	host() *netns.NS
	// where tells where the box is.
	where() string
	// admits tells whether other rules can do their work here.
	admits(*rules.Set) error
	close() error
}

func (f *runFlags) run(cmd *cobra.Command) (err error) {
	if err := f.check(cmd); err != nil {
		return err
	}
	files, err := f.read()
	if err != nil {
		return err
	}
	trial, err := trialOf(files.labs, false)
	if err != nil {
		return err
	}
	open, err := f.plan(files)
	if err != nil {
		return err
	}
	if err := netns.CheckRights(f.elsewhere()); err != nil {
		return err
	}
	defer outlivePipes()()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	way, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, way.close()) }()
	b, err := f.start(files, way.Devices(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	trial.Begin(b.fired, nil)
	s := &service{box: b, way: way, trial: trial, err: cmd.ErrOrStderr()}
	defer func() { err = errors.Join(err, s.end()) }()
	if err := s.open(f); err != nil {
		return err
	}
	if err := s.stay(ctx, reload); err != nil {
		return &machineError{err}
	}
	r, err := s.judge()
	if err != nil {
		return err
	}
	if err := r.write(f.report(cmd), f.json); err != nil {
		return err
	}
	if !r.pass() {
		return errFailed
	}
	return nil
}

// check refuses flags that do not go together.
func (f *runFlags) check(cmd *cobra.Command) error {
	var given []string
	for _, name := range []string{"netns", "pid", "container"} {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	proxies := len(f.proxies) > 0 || f.toxiproxy != ""
	switch {
	case len(given) > 1:
		return usage(cmd, fmt.Errorf("%s: only one of them", strings.Join(given, " and ")))
	case len(given) == 1 && proxies:
		return usage(cmd, fmt.Errorf("%s goes without proxies: they lead to services of this host", given[0]))
	case proxies && len(f.ports) > 0:
		return usage(cmd, errors.New("--port is for a namespace to attach to, and goes without proxies"))
	case cmd.Flags().Changed("pid") && f.pid < 1:
		return usage(cmd, fmt.Errorf("--pid %d is not a process", f.pid))
	}
	return nil
}

// elsewhere tells whether it is another namespace that run attaches to.
func (f *runFlags) elsewhere() bool { return f.netns != "" || f.pid != 0 || f.container != "" }

// plan says which way in is asked for, and how to set it up.
func (f *runFlags) plan(files *ruleFiles) (open func(context.Context) (wayIn, error), err error) {
	var all []lab.Proxy
	for _, file := range files.labs {
		all = append(all, file.Proxies()...)
	}
	if f.elsewhere() && len(all) > 0 {
		return nil, &usageError{err: errors.New("the files have a [[proxy]]: they lead to services of this host, not to those of a namespace")}
	}
	for _, text := range f.proxies {
		one, err := cutProxy(text)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--proxy %s: %w", text, err), proxyHint}
		}
		all = append(all, one)
	}
	if len(all) > 0 || f.toxiproxy != "" {
		return func(ctx context.Context) (wayIn, error) { return openProxies(ctx, all, f.device()) }, nil
	}
	ports, err := f.portsOf(files.set)
	return func(context.Context) (wayIn, error) { return f.attach(ports) }, err
}

// A service is a box that stays.
type service struct {
	*box
	way     wayIn
	trial   *lab.Trial
	err     io.Writer
	closers []func() error // of what listens, besides the API
}

// open starts to listen, and tells that the box is inline.
func (s *service) open(f *runFlags) error {
	s.control(&intake{paths: f.files, started: s.files.labs, admits: s.way.admits}, func() {
		fmt.Fprintln(s.err, "tcpmangle: the rules are reloaded")
	})
	warn(s.err, s.way.host(), s.way.Hooks())
	if w, ok := s.way.(interface{ warn(io.Writer) }); ok {
		w.warn(s.err)
	}
	said := s.way.where()
	if n := s.engine.Workers(); n < int(f.workers) {
		said += "; " + count(n, "worker")
	}
	if address := apiAddress(f.api); address != "" {
		if err := s.listen(address); err != nil {
			return err
		}
		said += "; api " + address
	}
	if f.toxiproxy != "" {
		at, err := s.serveToxiproxy(f.toxiproxy)
		if err != nil {
			return err
		}
		said += "; toxiproxy " + at
	}
	fmt.Fprintf(s.err, "tcpmangle: inline %s\n", said)
	return notifyReady("inline " + said)
}

// stay waits until a signal has ended ctx, and reloads the rules at others.
func (s *service) stay(ctx context.Context, reload <-chan os.Signal) error {
	tick := time.NewTicker(watchServices)
	defer tick.Stop()
	a, _ := s.way.(*attached)
	for {
		select {
		case <-ctx.Done():
			return notify("STOPPING=1")
		case <-a.ended():
			fmt.Fprintf(s.err, "tcpmangle: %s has ended\n", a.name)
			return notify("STOPPING=1")
		case err := <-s.done:
			s.done <- nil
			return fmt.Errorf("the box has ended: %w", err)
		case <-reload:
			s.reload()
		case <-tick.C:
			if !s.trial.Open() {
				tick.Stop()
			} else if err := s.trial.Look(s.engine.Since()); err != nil {
				return err
			}
		}
	}
}

// reload puts the files in force as they are now, or says why not.
func (s *service) reload() {
	notifyReload()
	err := s.server.Reload()
	var m mistakes
	switch {
	case err == nil: // it is said, as at a call
	case errors.As(err, &m):
		m.Render(s.err)
		fmt.Fprintf(s.err, "tcpmangle: %s; the rules stay as they were\n", count(len(m.Unwrap()), "mistake"))
	default:
		fmt.Fprintf(s.err, "tcpmangle: %v; the rules stay as they were\n", err)
	}
	notify("READY=1")
}

// judge says what came of it all.
func (s *service) judge() (*boxReport, error) {
	expectations, err := s.trial.Close(s.engine.Since(), 0)
	if err != nil {
		return nil, err
	}
	r, err := s.report()
	if err == nil {
		r.expectations = expectations
	}
	return r, err
}

// end lets traffic take its old way again before the box ends.
func (s *service) end() error {
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c())
	}
	return errors.Join(append(errs, s.way.Undo(), s.halt())...)
}
