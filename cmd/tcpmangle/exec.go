package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/lab"
)

// execFlags are the flags of exec.
type execFlags struct {
	boxFlags
	linger time.Duration
}

func execCommand() *cobra.Command {
	var f execFlags
	cmd := &cobra.Command{
		Use:   "exec [-f RULES]... [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command whose network passes through the box",
		Long: `Exec runs a command in a network namespace of its own. Everything that it sends goes through
the box, and from there wherever this host's packets go. Names resolve as on the host. What
listens on its 127.0.0.1 is ` + inline.HostName + `, on its ::1 ` + inline.HostName6 + `, and sees
a client of its own host. Signals are passed on.

When the command has ended, the expectations of the files are judged, and the report goes to
standard error. The exit status is the command's; if that is 0 and something was not as
expected, it is 1.

It needs root, Linux and /dev/net/tun. The host masquerades; all that is set up goes with exec.`,
		Example: `  tcpmangle exec -f lose-syn.toml -- curl -s https://example.com
  tcpmangle exec -f slow.toml -- redis-cli -h ` + inline.HostName + ` ping
  tcpmangle exec -f rules.toml --api /tmp/box.sock -- go test ./...`,
		Args: atLeastOne("a command"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.linger < 0 {
				return usage(cmd, fmt.Errorf("--linger is at least 0s, not %v", f.linger))
			}
			return f.run(cmd, args)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	f.flags(flags)
	flags.StringVar(&f.api, "api", "off", "`address` of the API: a unix socket or HOST:PORT; the command finds it in $"+client.EnvAddress)
	flags.DurationVar(&f.linger, "linger", 2*time.Second, "`time` at most that connections have for their end after the command's")
	return cmd
}

func (f *execFlags) run(cmd *cobra.Command, argv []string) (err error) {
	files, err := f.read()
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(argv[0]); err != nil && !errors.Is(err, exec.ErrDot) {
		return cannotRun(cmd, err)
	}
	p := &patient{linger: f.linger}
	if p.trial, err = trialOf(files.labs, true); err != nil {
		return err
	}
	if err := netns.CheckRights(true); err != nil {
		return err
	}
	defer outlivePipes()()
	var stop func()
	p.pass, stop = netns.PassSignals()
	defer stop()
	host, err := netns.Here()
	if err != nil {
		return err
	}
	defer host.Close()
	names := inline.HostNames()
	if p.cell, err = inline.NewCell(host, names, f.device()); err != nil {
		return &machineError{err}
	}
	defer func() { err = errors.Join(err, p.cell.Close()) }()
	warn(cmd.ErrOrStderr(), host, p.cell.Hooks())
	if p.box, err = f.start(files, p.cell.Devices(), cmd.ErrOrStderr()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.halt()) }()
	if p.cmd, err = inline.Command(names, []string{insideName}, argv...); err != nil {
		return err
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = os.Stdin, bare(cmd.OutOrStdout()), cmd.ErrOrStderr()
	if err := p.answer(&f.boxFlags); err != nil {
		return err
	}
	return p.treat(func(r *boxReport) error { return r.write(cmd.ErrOrStderr(), f.json) })
}

// A patient is a command whose network passes through a box.
type patient struct {
	*box
	cell   *inline.Cell
	trial  *lab.Trial
	cmd    *exec.Cmd
	pass   func(*os.Process) // hands it the signals that we get
	linger time.Duration
	began  time.Duration
}

// answer starts the API, if there shall be one, and tells the command where.
func (p *patient) answer(f *boxFlags) error {
	address := apiAddress(f.api)
	if address == "" {
		return nil
	}
	p.cmd.Env = append(os.Environ(), client.EnvAddress+"="+address)
	p.control(&intake{paths: f.files, started: p.files.labs, command: true}, nil)
	return p.listen(address)
}

// treat runs the command, gives its connections time to end, and reports.
func (p *patient) treat(tell func(*boxReport) error) error {
	p.trial.Begin(p.fired, p.cell.NS())
	p.began = p.engine.Since()
	status, err := p.play()
	if err == nil {
		err = p.calm()
	}
	if err != nil {
		return &machineError{err}
	}
	r, err := p.judge(status)
	if err != nil {
		return err
	}
	if err := tell(r); err != nil {
		return err
	}
	switch {
	case status != 0:
		return &exitError{status}
	case !r.pass():
		return errFailed
	}
	return nil
}

// play runs the command to its end. The kernel takes the thread that starts it for its
// parent, with which it dies; so that thread waits for it.
func (p *patient) play() (status int, err error) {
	ended := make(chan error, 1)
	go func() {
		ended <- p.cell.NS().Do(func() error {
			if err := p.cmd.Start(); err != nil {
				return err
			}
			p.pass(p.cmd.Process)
			return p.cmd.Wait()
		})
	}()
	var result error
	err = p.watch(func() bool {
		select {
		case result = <-ended:
			return true
		default:
			return false
		}
	})
	if err != nil {
		return 0, err
	}
	return netns.ExitStatus(result)
}

// watch looks at what expectations are about until something has happened.
func (p *patient) watch(happened func() bool) error {
	tick := time.NewTicker(watchCommand)
	defer tick.Stop()
	for !happened() {
		select {
		case err := <-p.done:
			p.done <- nil
			return fmt.Errorf("the box has ended: %w", err)
		case <-tick.C:
		}
		if !p.trial.Open() {
			continue
		}
		if err := p.trial.Look(p.engine.Since() - p.began); err != nil {
			return err
		}
	}
	return nil
}

// calm lets the connections that the command has left come to their end, and
// expectations come true.
func (p *patient) calm() error {
	deadline := time.Now().Add(p.linger)
	return p.watch(func() bool {
		return time.Now().After(deadline) || !p.trial.Open() && p.quiet()
	})
}

// quiet tells whether no segment of the command is to be expected any more.
func (p *patient) quiet() bool {
	if p.engine.Stats().Waiting > 0 {
		return false
	}
	socks, err := p.cell.NS().Sockets()
	for _, s := range socks {
		if s.State != "LISTEN" && s.State != "TIME_WAIT" && !s.Remote.Addr().IsLoopback() {
			return false
		}
	}
	return err == nil
}

// judge says what came of it all.
func (p *patient) judge(status int) (*boxReport, error) {
	expectations, err := p.trial.Close(p.engine.Since()-p.began, status)
	if err != nil {
		return nil, err
	}
	r, err := p.report()
	if err != nil {
		return nil, err
	}
	r.expectations, r.status = expectations, &status
	for _, rule := range r.rules {
		if rule.Fired == 0 && rule.Enabled && !rule.Optional && !p.trial.Expects(rule.Name) {
			r.problems = append(r.problems, neverFiredText(rule))
		}
	}
	return r, nil
}
