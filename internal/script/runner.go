package script

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrKilled is what Run returns when Kill or Vanish ended it.
var ErrKilled = errors.New("script: killed")

// A Runner runs one script on one host: call Run or RunServer, once. Its
// fields are set before that and not changed after. Progress, Kill and Vanish
// may be called from any goroutine, at any time.
//
// The callbacks are called from the goroutines that run the script, never two
// at a time; a slow one delays the script. Each may be nil.
type Runner struct {
	// Enter runs f where the host's sockets are to be made, as inside a
	// network namespace. Nil makes them where the process is.
	Enter func(f func() error) error

	// Resolve finds the address of a host that a script names. Addresses in
	// numbers, [fd77:2::1]:80 and 10.77.2.1:80, do not need it.
	Resolve func(host string) (netip.Addr, error)

	// V6 makes listen use IPv6, and nothing else.
	V6 bool

	// Output gets one line for each command as it ends, with what came of it.
	// Lines of a served connection begin with its ordinal: "#3 recv 4: ...".
	Output func(line string)

	// OnError gets each command that met an error, expected or not.
	OnError func(f Failure)

	// OnSocket gets the ends of each connection: of connect as its SYN leaves,
	// so before it is known to succeed, of accept when it is taken. A listener
	// comes with an invalid remote, when it can be connected to.
	OnSocket func(local, remote netip.AddrPort)

	calls sync.Mutex // held during Output, OnError and OnSocket

	mu          sync.Mutex
	started     bool
	cancel      context.CancelCauseFunc // ends the run; nil before it
	interrupted bool                    // the run is to end: nothing waits any more
	disposed    func(*socket) error     // how Kill or Vanish ended the sockets; nil before
	sockets     []*socket               // open, in the order they were made
	tasks       []*task                 // all there have been
}

// Run runs a script from its first line to its last, and returns nil when all
// went as it says. Otherwise the error is a [*Failure], the cause that ended
// ctx, or ErrKilled. Sockets that the script left open stay open.
func (r *Runner) Run(ctx context.Context, s *Script) error {
	return r.supervise(ctx, func(ctx context.Context) error {
		return r.newTask(0).run(ctx, s.commands)
	})
}

// supervise gives f a context that ends with ctx or by Kill, and sees to it
// that nothing waits on a socket beyond that.
func (r *Runner) supervise(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := r.start(cancel); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, r.interrupt)
	defer stop()
	return f(ctx)
}

func (r *Runner) start(cancel context.CancelCauseFunc) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.disposed != nil {
		return ErrKilled
	}
	if r.started {
		return errors.New("script: a Runner runs once")
	}
	r.started, r.cancel = true, cancel
	return nil
}

// interrupt ends every wait on a socket, now and later.
func (r *Runner) interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interrupted = true
	for _, s := range r.sockets {
		s.interrupt()
	}
}

// newSocket makes a socket on the host. It is the Runner's from then on.
func (r *Runner) newSocket(v6 bool, k kind) (*socket, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	var fd int
	err := r.enter(func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		return err
	})
	if err != nil {
		return nil, err
	}
	s, err := adopt(fd, k)
	if err != nil {
		return nil, err
	}
	return s, r.own(s)
}

func (r *Runner) enter(f func() error) error {
	if r.Enter == nil {
		return f()
	}
	return r.Enter(f)
}

// own keeps a socket for Kill and Vanish. One that comes after them ends as
// the others did.
func (r *Runner) own(s *socket) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.disposed != nil && r.disposed(s) == nil {
		return ErrKilled
	}
	if r.interrupted {
		s.interrupt()
	}
	r.sockets = append(r.sockets, s)
	return nil
}

// disown forgets a socket that its script closes.
func (r *Runner) disown(s *socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sockets = slices.DeleteFunc(r.sockets, func(o *socket) bool { return o == s })
}

// resolve finds the address of a host by its number or its name.
func (r *Runner) resolve(host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	if r.Resolve == nil {
		return netip.Addr{}, &named{Unresolved, fmt.Sprintf("%s (%q)", Unresolved, host)}
	}
	a, err := r.Resolve(host)
	if err != nil {
		return a, &named{Unresolved, fmt.Sprintf("%s (%v)", Unresolved, err)}
	}
	return a.Unmap(), nil
}

func (r *Runner) output(line string) {
	if r.Output == nil {
		return
	}
	r.calls.Lock()
	defer r.calls.Unlock()
	r.Output(line)
}

func (r *Runner) onError(f Failure) {
	if r.OnError == nil {
		return
	}
	r.calls.Lock()
	defer r.calls.Unlock()
	r.OnError(f)
}

func (r *Runner) onSocket(local, remote netip.AddrPort) {
	if r.OnSocket == nil {
		return
	}
	r.calls.Lock()
	defer r.calls.Unlock()
	r.OnSocket(local, remote)
}
