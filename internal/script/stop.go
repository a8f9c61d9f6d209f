package script

import (
	"errors"
	"fmt"
	"net/netip"
)

// Kill ends the script as the death of its process would: a blocked command
// ends and all sockets close, in the order they were made, those with unread
// data by RST. Run returns ErrKilled soon after, if it has not ended before.
//
// A close that waits because the script had set linger is past stopping; it
// ends by itself after that time.
func (r *Runner) Kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop((*socket).die)
	for _, s := range r.sockets {
		s.die()
	}
	r.sockets = nil
}

// Vanish ends the script as a power loss would: its sockets are gone and
// nothing is sent, no FIN and no RST, not even to connections that nobody has
// accepted yet. It needs CAP_NET_ADMIN over the namespace.
//
// The host's kernel lives on, and answers by RST what still arrives, as after a
// reboot: even the ACK of a FIN that was on its way. For a power that stays off
// the path must lose it.
//
// The error joins a [*SocketError] for each socket that would not go; those
// stay open, and so silent, until Kill. A connection that the script has closed
// is the kernel's alone, and out of reach here.
func (r *Runner) Vanish() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop((*socket).vanish)
	var left []*socket
	var errs []error
	for _, s := range r.withQueued() {
		if err := s.vanish(); err != nil {
			local, remote := s.ends()
			errs = append(errs, &SocketError{local, remote, err})
			left = append(left, s)
		}
	}
	r.sockets = left
	return errors.Join(errs...)
}

// stop ends the run. What it still opens will be disposed of as told.
func (r *Runner) stop(dispose func(*socket) error) {
	r.disposed = dispose
	if r.cancel != nil {
		r.cancel(ErrKilled)
	}
}

// withQueued lists the sockets, the connections still in a listener's queue
// among them. Those go first: a listener that closes resets its queue.
func (r *Runner) withQueued() []*socket {
	var all []*socket
	for _, s := range r.sockets {
		if s.kind == listener {
			all = append(all, s.drain()...)
		}
	}
	return append(all, r.sockets...)
}

// A SocketError is a socket that Vanish could not take away.
type SocketError struct {
	Local, Remote netip.AddrPort
	Err           error
}

func (e *SocketError) Error() string {
	return fmt.Sprintf("socket %v to %v: %s", e.Local, e.Remote, describe(e.Err))
}

// Unwrap gives the errno.
func (e *SocketError) Unwrap() error { return e.Err }
