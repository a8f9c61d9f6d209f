package tunnel

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// queue is a Queue on a descriptor of /dev/net/tun that does not block.
type queue struct {
	dev     string // the interface's name, for errors
	offload bool   // packets carry the virtio header

	// mu is held while fd is in use, and it takes close to contend for it: a
	// closed number may be somebody else's file a moment later.
	mu       sync.Mutex
	fd       int             // -1 once closed
	header   [headerLen]byte // of the packet under way; on the stack it would escape
	vector   vector
	watchers []*epollPoller
}

// Read takes the header into a place of its own, so that the packet begins at b[0].
func (q *queue) Read(b []byte) (int, Header, error) {
	if len(b) < MaxPacket {
		return 0, Header{}, io.ErrShortBuffer
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd < 0 {
		return 0, Header{}, q.closedError("read")
	}
	q.vector.set(q.header[:q.headerLen()], b)
	n, errno := q.vector.read(q.fd)
	switch {
	case errno == unix.EAGAIN:
		return 0, Header{}, ErrEmpty
	case errno == unix.EBADFD:
		return 0, Header{}, fmt.Errorf("read %s: the interface has been deleted: %w", q.dev, errno)
	case errno != 0:
		return 0, Header{}, fmt.Errorf("read %s: %w", q.dev, errno)
	case !q.offload:
		return n, Header{}, nil
	}
	return max(n-headerLen, 0), decodeHeader(&q.header), nil
}

// headerLen is how much of each packet is the virtio header.
func (q *queue) headerLen() int {
	if q.offload {
		return headerLen
	}
	return 0
}

func (q *queue) Write(h Header, head, body []byte) error {
	if !q.offload && h.NeedsOffload() {
		return ErrOffload
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd < 0 {
		return q.closedError("write")
	}
	h.encode(&q.header)
	q.vector.set(q.header[:q.headerLen()], head, body)
	// The kernel takes a packet whole or not at all, so the count says nothing.
	if _, errno := q.vector.write(q.fd); errno != 0 {
		return fmt.Errorf("write %s: %w", q.dev, errno)
	}
	return nil
}

func (q *queue) closedError(op string) error {
	return &os.PathError{Op: op, Path: q.dev, Err: os.ErrClosed}
}

// withFD calls f with the descriptor while close waits.
func (q *queue) withFD(f func(fd int) error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd < 0 {
		return os.ErrClosed
	}
	return f(q.fd)
}

// watch puts the queue into the poller's set, and has it told about close.
func (q *queue) watch(p *epollPoller) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd < 0 {
		return q.closedError("poll")
	}
	if err := p.add(q.fd); err != nil {
		return err
	}
	q.watchers = append(q.watchers, p)
	return nil
}

// unwatch undoes watch, but for the set: that goes with the poller.
func (q *queue) unwatch(p *epollPoller) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.watchers = slices.DeleteFunc(q.watchers, func(w *epollPoller) bool { return w == p })
}

// close wakes the pollers that wait for the queue: the descriptor leaves their
// epoll sets when it is closed, and would do so without a word.
func (q *queue) close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := closeFD(&q.fd)
	for _, p := range q.watchers {
		p.queueClosed()
	}
	q.watchers = nil
	return err
}
