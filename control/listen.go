package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/client"
)

// socketMode lets the owner and the group call.
const socketMode = 0o660

// Listen is the function Listen, for Serve: it refuses an address at which Serve would not answer.
func (s *Server) Listen(address string) (net.Listener, error) {
	l, err := Listen(address)
	if err != nil {
		return nil, err
	}
	if _, err := s.guard(l.Addr()); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Listen listens at an address of the API (see client.SplitAddress). A unix socket that a
// process has left behind is replaced; one at which somebody answers is an error. It
// may be used by its owner and group, and is removed when the listener is closed.
func Listen(address string) (net.Listener, error) {
	network, where, err := client.SplitAddress(address)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		return listenUnix(where)
	}
	return net.Listen(network, where)
}

func listenUnix(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode of the socket's own inode is what bind gives to the file, less the
	// umask: nobody else can connect, not even between bind and chmod.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if cerr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), socketMode) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil { // what the umask took of it
		l.Close()
		return nil, err
	}
	return l, nil
}

// Sweep removes the unix socket at an address of the API that a process has left behind. It tells
// whether there was one: nothing, or an instance that answers, is no error.
func Sweep(address string) (swept bool, err error) {
	network, path, err := client.SplitAddress(address)
	if err != nil || network != "unix" {
		return false, err
	}
	if dead, _ := isDead(path); !dead {
		return false, nil
	}
	return true, os.Remove(path)
}

// removeStale makes room for a socket.
func removeStale(path string) error {
	dead, err := isDead(path)
	if dead {
		return os.Remove(path)
	}
	return err
}

// isDead tells whether there is a socket at which nobody listens. The error says what else is there, if it is not nothing.
func isDead(path string) (bool, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.Mode().Type() != os.ModeSocket:
		return false, fmt.Errorf("%s is there already, and is no socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return false, fmt.Errorf("an instance listens at %s already", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return false, err
	}
	return true, nil
}
