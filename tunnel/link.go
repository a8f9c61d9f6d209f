package tunnel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Up sets the interface up; from then on the kernel may send to it. It works from
// any thread. A device without a link, as tunneltest makes them, is up always.
func Up(d Device) error {
	dev, ok := d.(*device)
	if !ok {
		return nil
	}
	if err := dev.withControl(dev.up); err != nil {
		return fmt.Errorf("set %s up: %w", dev.name, err)
	}
	return nil
}

// up adds IFF_UP to the flags that the interface has.
func (d *device) up(sock int) error {
	req, err := unix.NewIfreq(d.name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(sock, unix.SIOCGIFFLAGS, req); err != nil {
		return err
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(sock, unix.SIOCSIFFLAGS, req)
}

// setLink sets one number of the interface.
func setLink(sock int, name string, request uint, value uint32) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint32(value)
	return unix.IoctlIfreq(sock, request, req)
}

// SetSteering makes the BPF program behind progFD (a socket filter) choose the
// queue of each packet that the kernel sends to d: its return value modulo
// Queues. The data it sees begins with the IP header. -1 takes a program away;
// then the kernel steers by flow hash and by the queue it last heard a flow on.
// The device keeps the program, progFD stays the caller's. For a device without a
// kernel behind it the error wraps errors.ErrUnsupported.
func SetSteering(d Device, progFD int) error {
	dev, ok := d.(*device)
	if !ok {
		return fmt.Errorf("set steering of %s: %w", d.Name(), errors.ErrUnsupported)
	}
	err := dev.queues[0].withFD(func(fd int) error {
		return unix.IoctlSetPointerInt(fd, unix.TUNSETSTEERINGEBPF, progFD)
	})
	if err != nil {
		return fmt.Errorf("set steering of %s: %w", dev.name, err)
	}
	return nil
}
