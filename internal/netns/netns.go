// Package netns is the lab's ground: network namespaces made for one run,
// their links, addresses, routes and sysctls, and what the kernel in them says
// about its TCP sockets.
//
// A namespace is anonymous. Nothing stands in /run/netns; it lives as long as
// somebody holds a descriptor of it, so it is gone when the process ends,
// however the process ends:
//
//	this process                          namespace (New)
//	┌────────────────────────┐            ┌──────────────────────────┐
//	│ NS.ns    descriptor ───┼── keeps ──►│ lo up                    │
//	│ NS.route rtnetlink  ───┼───────────►│ links, addresses, routes │
//	│ NS.diag  sock_diag  ───┼───────────►│ sockets                  │
//	│ NS.Do    one thread ───┼── enters ─►│ /proc/sys/net, open, dial│
//	└────────────────────────┘            └──────────────────────────┘
//
// A machine that grants no privileges may still allow a namespace of users, in
// which we are root: see NeedUserNS and Reexec. Check says what is missing.
package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An NS is one network namespace. Goroutines may share it.
type NS struct {
	ns   *os.File
	here bool // it is that of the process: nobody has to go there
	diag *diag

	mu    sync.Mutex
	route *netlink.Handle // nil once closed: a closed handle would act on the host
}

// New makes a network namespace and brings its loopback up. It needs
// CAP_SYS_ADMIN in the user namespace of the process (NeedUserNS).
func New() (*NS, error) {
	n := new(NS)
	if err := onThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, n.open); err != nil {
		n.Close()
		return nil, fmt.Errorf("new network namespace: %w", err)
	}
	return n, nil
}

// open takes hold of the new namespace that the thread is in.
func (n *NS) open() error {
	if err := n.take(); err != nil {
		return err
	}
	return n.LinkUp("lo")
}

// FD returns the namespace's descriptor, for setns(2) and netlink. It stays
// ours: it is good until Close, and the caller does not close it.
func (n *NS) FD() int { return int(n.ns.Fd()) }

// Do runs f on an OS thread inside the namespace and returns its error. What f
// opens there stays in the namespace: sockets, /dev/net/tun, started commands.
// f runs on a goroutine of its own; goroutines that it starts are outside. If f
// ends its goroutine (t.FailNow), Do returns an error.
func (n *NS) Do(f func() error) error {
	if n.here {
		return f()
	}
	return onThread(n.enter, f)
}

// enter moves the calling thread into the namespace.
func (n *NS) enter() error {
	conn, err := n.ns.SyscallConn()
	if err != nil {
		return err
	}
	if conn.Control(func(fd uintptr) { err = unix.Setns(int(fd), unix.CLONE_NEWNET) }) != nil {
		err = os.ErrClosed // Control has no other reason, and says it in a word of its own
	}
	if err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	return nil
}

// Close lets the namespace go. The kernel takes it down, with its devices and
// sockets, once no socket, thread or descriptor refers to it any more.
func (n *NS) Close() error {
	var errs []error
	if n.diag != nil {
		errs = append(errs, n.diag.close())
	}
	n.mu.Lock()
	if n.route != nil {
		n.route.Close()
		n.route = nil
	}
	n.mu.Unlock()
	if n.ns != nil {
		errs = append(errs, n.ns.Close())
	}
	return errors.Join(errs...)
}

// errGoexit is what Do reports of a function that never returned.
var errGoexit = errors.New("the function in the namespace ended its goroutine")

// onThread runs enter and then f on one thread, and takes the thread back to
// where it was. A thread that cannot go back stays locked, so that it dies with
// the goroutine and nobody else ever runs on it.
func onThread(enter, f func() error) error {
	err := errGoexit
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = thereAndBack(enter, f) // unless f never returns
	}()
	<-done
	return err
}

func thereAndBack(enter, f func() error) error {
	runtime.LockOSThread()
	home, err := threadNS()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	defer func() {
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	if err := enter(); err != nil {
		return err
	}
	return f()
}

// threadNS opens the network namespace of the calling thread.
func threadNS() (*os.File, error) { return os.Open("/proc/thread-self/ns/net") }
