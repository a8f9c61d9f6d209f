package integration

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A recording is what devices have handed over: packets as the kernel gave them, with
// what it left undone, in the order in which they were read. Goroutines may add to it.
type recording struct {
	mu      sync.Mutex
	start   time.Time
	packets []packet
	edit    func(side int, data []byte) // acts on each before anybody sees it; nil: none
}

// A packet is one read of a device.
type packet struct {
	at     time.Duration
	side   int
	header tunnel.Header
	data   []byte
}

func newRecording() *recording { return &recording{start: time.Now()} }

// through puts the recording between a device and its reader; it fits
// lineConfig.through and lab.Options.Through.
func (r *recording) through(side int, d tunnel.Device) tunnel.Device {
	rd := &recordedDevice{Device: d}
	for i := range d.Queues() {
		rd.queues = append(rd.queues, &recordedQueue{Queue: d.Queue(i), side: side, to: r, dry: make(chan struct{}, 1)})
	}
	return rd
}

func (r *recording) add(side int, h tunnel.Header, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.edit != nil {
		r.edit(side, data)
	}
	r.packets = append(r.packets, packet{time.Since(r.start), side, h, append([]byte(nil), data...)})
}

// A recordedDevice is a device whose queues tell what is read from them.
type recordedDevice struct {
	tunnel.Device
	queues []*recordedQueue
}

func (d *recordedDevice) Queue(i int) tunnel.Queue { return d.queues[i] }

// A recordedQueue reads from a queue of the kernel. It is a tunnel.Source: for the
// Poller it is none of the kernel's, so it reads ahead to know whether it is ready,
// and a goroutine of its own waits for the kernel.
type recordedQueue struct {
	tunnel.Queue
	side int
	to   *recording
	dry  chan struct{} // has an element when nothing was left to be read

	ahead  [tunnel.MaxPacket]byte
	n      int
	header tunnel.Header
	err    error
	full   bool // ahead, or err, is still to be read
}

var _ tunnel.Source = (*recordedQueue)(nil)

// Ready reads ahead.
func (q *recordedQueue) Ready() bool {
	if q.full {
		return true
	}
	q.n, q.header, q.err = q.Queue.Read(q.ahead[:])
	switch {
	case errors.Is(q.err, tunnel.ErrEmpty):
		select {
		case q.dry <- struct{}{}:
		default:
		}
		return false
	case q.err == nil:
		q.to.add(q.side, q.header, q.ahead[:q.n])
	}
	q.full = true
	return true
}

// Read gives out what was read ahead.
func (q *recordedQueue) Read(b []byte) (int, tunnel.Header, error) {
	if !q.Ready() {
		return 0, tunnel.Header{}, tunnel.ErrEmpty
	}
	q.full = false
	if len(b) < q.n {
		return 0, tunnel.Header{}, io.ErrShortBuffer
	}
	return copy(b, q.ahead[:q.n]), q.header, q.err
}

// Notify waits for the kernel whenever the queue has been found dry.
func (q *recordedQueue) Notify(c chan<- struct{}) (stop func()) {
	poller, err := tunnel.NewPoller(q.Queue)
	if err != nil {
		panic(err) // the test's device is closed before its time
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for poller.Wait(-1) == nil && !closed(quit) {
			select {
			case c <- struct{}{}:
			default:
			}
			select {
			case <-q.dry:
			case <-quit:
			}
		}
	}()
	return func() {
		close(quit)
		poller.Wake()
		<-done
		poller.Close()
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
