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

// removeStale removes a socket at which nobody listens.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is there already, and is no socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return fmt.Errorf("an instance listens at %s already", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
