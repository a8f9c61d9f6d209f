package tunnel

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// device is the Device of both kernel backends. They differ in how the queues
// were attached and in the header, and in nothing else.
type device struct {
	name    string
	mtu     int
	offload bool
	queues  []*queue

	// mu guards what Close ends. The two descriptors were opened in the device's
	// namespace and go on working from any thread.
	mu       sync.Mutex
	closed   bool
	control  int      // a socket, for the ioctls of the link; -1 before configure
	counters *os.File // net/dev
	dropped  uint64   // the last count, valid once closed
}

var _ Device = (*device)(nil)

func newDevice(c Config, offload bool) *device {
	return &device{mtu: c.MTU, offload: offload, control: -1}
}

// addQueue gives the device a descriptor that is attached to it.
func (d *device) addQueue(fd int, name string) {
	d.name = name
	d.queues = append(d.queues, &queue{fd: fd, dev: name, offload: d.offload})
}

// configure opens what the device needs besides its queues and sets the link up
// to the point of [Up]. It runs on a thread of the device's namespace.
func (d *device) configure(mtu int) (err error) {
	d.control, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open control socket: %w", err)
	}
	if d.counters, err = openCounters(); err != nil {
		return err
	}
	if err := setRing(d.name, ringLen); err != nil {
		return fmt.Errorf("set txqueuelen: %w", err)
	}
	if err := setLink(d.control, d.name, unix.SIOCSIFMTU, uint32(mtu)); err != nil {
		return fmt.Errorf("set mtu: %w", err)
	}
	return nil
}

func (d *device) Name() string      { return d.name }
func (d *device) MTU() int          { return d.mtu }
func (d *device) Offload() bool     { return d.offload }
func (d *device) Queues() int       { return len(d.queues) }
func (d *device) Queue(i int) Queue { return d.queues[i] }

func (d *device) Dropped() (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return d.dropped, nil
	}
	return d.readDropped()
}

// readDropped goes by the name that the interface has now: somebody may have given it another one.
func (d *device) readDropped() (uint64, error) {
	name := d.name
	err := d.queues[0].withFD(func(fd int) error {
		req, err := unix.NewIfreq("")
		if err == nil {
			err = unix.IoctlIfreq(fd, unix.TUNGETIFF, req)
			name = req.Name()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read dropped packets of %s: %w", d.name, err)
	}
	return readDropped(d.counters, name)
}

// Close takes the last count first, because the counters go with the interface,
// which goes with its last queue.
func (d *device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true

	var err error
	if d.counters != nil {
		d.dropped, _ = d.readDropped()
		err = d.counters.Close()
	}
	if d.control >= 0 {
		err = errors.Join(err, unix.Close(d.control))
	}
	return errors.Join(err, d.closeQueues())
}

func (d *device) closeQueues() error {
	var errs []error
	for _, q := range d.queues {
		errs = append(errs, q.close())
	}
	return errors.Join(errs...)
}

// abandon gives up a device of which not every queue could be attached.
func (d *device) abandon() { _ = d.Close() }

// withControl calls f with the control socket while Close waits.
func (d *device) withControl(f func(sock int) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return os.ErrClosed
	}
	return f(d.control)
}
