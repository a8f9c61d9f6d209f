package tunneltest

import (
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

// Device is a tunnel.Device whose kernel is the test. All of its methods may be
// called from any goroutine.
type Device struct {
	t       testing.TB
	name    string
	mtu     int
	offload bool
	ringLen int
	sink    func(queue int, h tunnel.Header, head, body []byte)

	queues  []queue
	dropped atomic.Uint64

	mu      sync.Mutex
	written fifo          // what the code under test wrote, in order over all queues
	arrived chan struct{} // full while written may not be empty
	done    chan struct{} // closed by Close
	closed  bool
}

var _ tunnel.Device = (*Device)(nil)

// New makes one device as Pair makes two.
func New(t testing.TB, options ...Option) *Device {
	d := &Device{
		t: t, name: "fake", mtu: 1500, ringLen: 10000,
		queues:  make([]queue, 1),
		arrived: make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	for _, option := range options {
		option(d)
	}
	for i := range d.queues {
		d.queues[i].dev, d.queues[i].index = d, i
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// Name is the name given by WithName: near and far in a Pair.
func (d *Device) Name() string { return d.name }

// MTU is 1500 or what WithMTU says.
func (d *Device) MTU() int { return d.mtu }

// Offload is what WithOffload says.
func (d *Device) Offload() bool { return d.offload }

// Queues is 1 or what WithQueues says.
func (d *Device) Queues() int { return len(d.queues) }

// Queue is for the code under test; it is a tunnel.Source.
func (d *Device) Queue(i int) tunnel.Queue { return &d.queues[i] }

// Dropped counts what Send found no room for.
func (d *Device) Dropped() (uint64, error) { return d.dropped.Load(), nil }

// Close ends the queues for the code under test. What it wrote before can still
// be received; what was sent and not read is gone.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	close(d.done)
	for i := range d.queues {
		d.queues[i].close()
	}
	return nil
}

// Send puts a packet into the queue that a symmetric hash of its flow gives, so
// that both directions of a connection meet in one worker, on both devices. It
// copies the packet. False means that the ring was full, which is counted, or the
// device closed.
func (d *Device) Send(h tunnel.Header, packet []byte) bool {
	return d.SendTo(steer(packet, len(d.queues)), h, packet)
}

// SendTo is Send into a given queue.
func (d *Device) SendTo(queue int, h tunnel.Header, packet []byte) bool {
	if h.NeedsOffload() && !d.offload {
		d.t.Errorf("tunneltest: sent %+v to %s: without offload the kernel completes every packet", h, d.name)
		return false
	}
	return d.queues[queue].send(h, packet)
}

// Pending is the number of packets that were sent and not yet read.
func (d *Device) Pending() (n int) {
	for i := range d.queues {
		n += d.queues[i].len()
	}
	return n
}

// TryReceive takes the oldest packet that the code under test has written, if
// there is one. The packet is the caller's.
func (d *Device) TryReceive() (h tunnel.Header, packet []byte, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.written.pop()
	if d.written.len() > 0 {
		signal(d.arrived)
	}
	return p.header, p.data, ok
}

// Receive is TryReceive that waits. The error wraps os.ErrDeadlineExceeded after
// the timeout, and os.ErrClosed if the device is closed and has nothing left.
func (d *Device) Receive(timeout time.Duration) (tunnel.Header, []byte, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		if h, packet, ok := d.TryReceive(); ok {
			return h, packet, nil
		}
		if err := d.await(timer.C); err != nil {
			return tunnel.Header{}, nil, &os.PathError{Op: "receive", Path: d.name, Err: err}
		}
	}
}

// await returns nil when written is worth another look.
func (d *Device) await(timeout <-chan time.Time) error {
	select {
	case <-d.arrived:
		return nil
	default:
	}
	select {
	case <-d.arrived:
		return nil
	case <-d.done:
		return os.ErrClosed
	case <-timeout:
		return os.ErrDeadlineExceeded
	}
}

// write is the kernel's end of Queue.Write.
func (d *Device) write(queue int, h tunnel.Header, head, body []byte) error {
	if d.sink != nil {
		d.sink(queue, h, head, body)
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written.push(h, head, body)
	signal(d.arrived)
	return nil
}

// signal fills a channel of one place.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
