package tunneltest

import (
	"io"
	"os"
	"slices"
	"sync"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

// queue is the tunnel.Queue of a Device.
type queue struct {
	dev   *Device
	index int

	mu      sync.Mutex
	ring    fifo
	waiters []chan<- struct{} // of pollers
	closed  bool
}

var _ tunnel.Source = (*queue)(nil)

// send is the kernel's end of Read.
func (q *queue) send(h tunnel.Header, packet []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	if q.ring.len() >= q.dev.ringLen {
		q.dev.dropped.Add(1)
		return false
	}
	q.ring.push(h, packet, nil)
	q.notify()
	return true
}

func (q *queue) Read(b []byte) (int, tunnel.Header, error) {
	if len(b) < tunnel.MaxPacket {
		return 0, tunnel.Header{}, io.ErrShortBuffer
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, tunnel.Header{}, q.closedError("read")
	}
	p, ok := q.ring.pop()
	if !ok {
		return 0, tunnel.Header{}, tunnel.ErrEmpty
	}
	n := copy(b, p.data)
	q.ring.recycle(p)
	return n, p.header, nil
}

func (q *queue) Write(h tunnel.Header, head, body []byte) error {
	if h.NeedsOffload() && !q.dev.offload {
		return tunnel.ErrOffload
	}
	q.mu.Lock()
	closed := q.closed
	q.mu.Unlock()
	if closed {
		return q.closedError("write")
	}
	return q.dev.write(q.index, h, head, body)
}

// Ready is tunnel.Source's.
func (q *queue) Ready() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed || q.ring.len() > 0
}

// Notify is tunnel.Source's.
func (q *queue) Notify(c chan<- struct{}) (stop func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiters = append(q.waiters, c)
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.waiters = slices.DeleteFunc(q.waiters, func(w chan<- struct{}) bool { return w == c })
	}
}

// notify runs under mu.
func (q *queue) notify() {
	for _, c := range q.waiters {
		signal(c)
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ring.len()
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.ring = fifo{}
	q.notify()
}

func (q *queue) closedError(op string) error {
	return &os.PathError{Op: op, Path: q.dev.name, Err: os.ErrClosed}
}
