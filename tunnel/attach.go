package tunnel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const devNetTun = "/dev/net/tun"

// openTun opens the clone device. The descriptor does not block and no child
// process inherits it.
func openTun() (fd int, err error) {
	fd, err = unix.Open(devNetTun, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return fd, nil
	case err == unix.ENODEV || err == unix.ENXIO:
		// The node is there, but no module behind it.
		err = fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	return -1, &os.PathError{Op: "open", Path: devNetTun, Err: err}
}

// attachFD makes fd a queue of the device called name, which need not exist yet,
// and returns the name without pattern.
func attachFD(fd int, name string, flags uint16) (string, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return "", err
	}
	req.SetUint16(flags)
	err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	if err == unix.EBUSY && flags&unix.IFF_TUN_EXCL != 0 {
		err = fmt.Errorf("%w: %w", err, fs.ErrExist)
	}
	if err != nil {
		return "", fmt.Errorf("attach: %w", err)
	}
	return req.Name(), nil
}

// attachNew opens a descriptor and attaches it as the first queue of a new
// device. An interface that exists is refused: its flags are those of whoever
// attached first, and ours would be ignored without a word.
func attachNew(name string, flags uint16) (fd int, got string, err error) {
	return attachTun(name, flags|unix.IFF_TUN_EXCL)
}

// attachTun opens a descriptor and attaches it, or leaves nothing open.
func attachTun(name string, flags uint16) (fd int, got string, err error) {
	fd, err = openTun()
	if err != nil {
		return -1, "", err
	}
	got, err = attachFD(fd, name, flags)
	if err != nil {
		return -1, "", errors.Join(err, unix.Close(fd))
	}
	return fd, got, nil
}

// errMismatch is what verify finds if the kernel made something else than asked.
var errMismatch = errors.New("the kernel attached something else")

// checkedFlags are those that change what we read, or how long the device lives.
const checkedFlags = unix.IFF_TUN | unix.IFF_TAP | unix.IFF_NO_PI |
	unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE | unix.IFF_PERSIST

// verify asks the kernel what fd is attached to and compares it with what was
// asked for: a flag may have been ignored, and a name cut.
func verify(fd int, asked string, flags uint16) error {
	req, err := unix.NewIfreq("")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, req); err != nil {
		return fmt.Errorf("read flags: %w", err)
	}
	return compare(req.Name(), req.Uint16(), asked, flags)
}

// compare passes over the name if a pattern was asked for.
func compare(name string, flags uint16, askedName string, askedFlags uint16) error {
	if name != askedName && !strings.Contains(askedName, "%") {
		return fmt.Errorf("%w: name %q", errMismatch, name)
	}
	if flags &= checkedFlags; flags != askedFlags {
		return fmt.Errorf("%w: flags %#04x, asked for %#04x", errMismatch, flags, askedFlags)
	}
	return nil
}
