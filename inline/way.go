package inline

import (
	"errors"

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

// Undo takes everything back that led packets here, in reverse, while the box still
// passes on what has come. Only the devices are left then.
func (w *Way) Undo() error { return w.setup.undo() }

// Close is Undo, if that has not been done, and closes the devices.
func (w *Way) Close() error {
	err := w.Undo()
	for _, d := range w.devices {
		if d != nil {
			err = errors.Join(err, d.Close())
		}
	}
	return err
}

// open makes the device of a side in a namespace.
func (w *Way) open(ns *netns.NS, side int, c tunnel.Config) error {
	return ns.Do(func() (err error) {
		w.devices[side], err = tunnel.Open(c)
		return err
	})
}
