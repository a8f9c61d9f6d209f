package tunnel

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// offloads is what we let the kernel leave undone: checksums, and the
// segmentation of TCP. UDP we do not take apart, so it arrives as on a wire.
const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN

// attachOffload makes a device whose packets carry the virtio header.
func attachOffload(c Config) (*device, error) {
	flags := c.flags() | unix.IFF_VNET_HDR
	d := newDevice(c, true)
	for i := range c.Queues {
		if err := d.addOffloadQueue(i, c.Name, flags); err != nil {
			d.abandon()
			return nil, fmt.Errorf("queue %d: %w", i, err)
		}
	}
	return d, nil
}

// addOffloadQueue attaches queue i. The first one makes the device, and what it
// sets holds for the others.
func (d *device) addOffloadQueue(i int, name string, flags uint16) error {
	attach := attachNew
	if i > 0 {
		name, attach = d.name, attachTun
	}
	fd, got, err := attach(name, flags)
	if err != nil {
		return err
	}
	d.addQueue(fd, got)
	if err := verify(fd, name, flags); err != nil {
		return err
	}
	if i > 0 {
		return nil
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
		return fmt.Errorf("set offloads: %w", err)
	}
	return nil
}
