package inline

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A Way is how traffic gets to the box: two devices, and what leads packets to them.
type Way struct {
	devices [2]tunnel.Device
	setup   *setup
}

// Devices are the two sides of the box. They are the Way's, which closes them.
func (w *Way) Devices() [2]tunnel.Device { return w.devices }

// Hooks are where what comes by the devices meets the firewalls of the host.
func (w *Way) Hooks() []netns.Hook { return w.setup.hooks }

// Undo takes everything back that led packets here, in reverse, while the box still
// passes on what has come. Only the devices are left then.
func (w *Way) Undo() error { return w.setup.undo() }

// Close is Undo, if that has not been done, and closes the devices. Undo may need the descriptors
// that they have had.
func (w *Way) Close() error {
	undone := w.Undo()
	var err error
	for _, d := range w.devices {
		if d != nil {
			err = errors.Join(err, d.Close())
		}
	}
	if undone != nil {
		undone = w.Undo()
	}
	return errors.Join(undone, err)
}

// The least MTU that IPv6 takes (RFC 8200, section 5), and the most that a device of ours can have.
const minMTU, maxMTU = 1280, 65535

// sized is what a device shall be, with the packets that a host has, unless that is said already:
// one of larger packets would have connections announce segments for which the way behind it
// may be too narrow, one of smaller ones would refuse what is under way.
func sized(c tunnel.Config, mtu int) tunnel.Config {
	if c.MTU == 0 && mtu != 0 {
		c.MTU = min(max(mtu, minMTU), maxMTU)
	}
	return c
}

// errTwice says that there is a device as ours is to be; which process it belongs to, unless that
// is not to be seen from here, or it is none of ours.
func (w *Way) errTwice(dev string) error {
	for _, r := range w.setup.others() {
		if r.Way == w.setup.Way {
			return fmt.Errorf("another instance, process %d, is there already; one can have several rule files, ports and proxies", r.PID)
		}
	}
	return fmt.Errorf("a device %s is there already: another instance's, or somebody else's", dev)
}

// open makes the device of a side in a namespace. Nothing goes by it but what is led to it.
func (w *Way) open(ns *netns.NS, side int, c tunnel.Config) error {
	err := ns.Do(func() (err error) {
		w.devices[side], err = tunnel.Open(c)
		return err
	})
	if errors.Is(err, fs.ErrExist) {
		return w.errTwice(c.Name)
	}
	if err != nil {
		return err
	}
	return ns.Quiet(w.devices[side].Name())
}
