package tunnel

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// attachPlain makes a device by water: one packet is one segment on the wire,
// with complete checksums.
func attachPlain(c Config) (*device, error) {
	if err := rehearse(c); err != nil {
		return nil, err
	}
	d := newDevice(c, false)
	for i := range c.Queues {
		if err := d.addPlainQueue(i, c); err != nil {
			d.abandon()
			return nil, fmt.Errorf("queue %d: %w", i, err)
		}
	}
	return d, nil
}

// rehearse makes the device on a descriptor of ours and lets it go again.
// water.New leaves its descriptor open when it fails, out of anybody's reach; so
// whatever would fail (no such file, no permission, a name in use) fails here.
func rehearse(c Config) error {
	fd, _, err := attachNew(c.Name, c.flags())
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// addPlainQueue attaches queue i. The first one makes the device.
func (d *device) addPlainQueue(i int, c Config) error {
	name := c.Name
	if i > 0 {
		name = d.name
	}
	fd, got, err := openWater(name, c.Queues > 1)
	if err != nil {
		return err
	}
	d.addQueue(fd, got)
	return verify(fd, name, c.flags())
}

// openWater attaches one queue by water and takes its descriptor over. Persist
// stays false: water writes that flag always, and the device is ours.
func openWater(name string, multiQueue bool) (fd int, got string, err error) {
	// water opens without O_CLOEXEC: no child process may start in between.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()

	ifce, err := water.New(water.Config{
		DeviceType:             water.TUN,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name, MultiQueue: multiQueue},
	})
	if err != nil {
		return -1, "", fmt.Errorf("water: %w", err)
	}
	fd, err = takeOver(ifce.ReadWriteCloser)
	return fd, ifce.Name(), errors.Join(err, ifce.Close())
}

// takeOver duplicates the descriptor behind rw, close-on-exec. The original is
// known to the runtime's poller, which would wake a thread for each packet;
// closing it leaves the queue attached to the duplicate. O_NONBLOCK is a property
// of what both share, and File.Fd is avoided because it may clear it.
func takeOver(rw io.ReadWriteCloser) (int, error) {
	file, ok := rw.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("water: %T has no descriptor", rw)
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return -1, err
	}
	dup := -1
	var dupErr error
	err = conn.Control(func(fd uintptr) {
		dup, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	return dup, errors.Join(err, dupErr)
}
