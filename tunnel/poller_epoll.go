package tunnel

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// epollPoller is the Poller of kernel queues: an epoll set of its own, with the
// queues, an alarm and a bell in it. It blocks a thread rather than use the
// runtime's poller, which rounds a wait below a millisecond up to one.
type epollPoller struct {
	fd     int
	alarm  alarm
	bell   bell
	queues []*queue
	events [8]unix.EpollEvent // of the last wait; more are reported by the next

	deadQueue atomic.Bool // one of the queues has been closed
}

func newEpollPoller(queues []*queue) (*epollPoller, error) {
	p := &epollPoller{fd: -1, alarm: alarm{fd: -1}, bell: bell{fd: -1}}
	if err := p.open(queues); err != nil {
		return nil, errors.Join(fmt.Errorf("open poller: %w", err), p.Close())
	}
	return p, nil
}

func (p *epollPoller) open(queues []*queue) (err error) {
	if p.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if err := errors.Join(p.alarm.open(), p.bell.open()); err != nil {
		return err
	}
	if err := errors.Join(p.add(p.alarm.fd), p.add(p.bell.fd)); err != nil {
		return err
	}
	for _, q := range queues {
		if err := q.watch(p); err != nil {
			return err
		}
		p.queues = append(p.queues, q)
	}
	return nil
}

// add puts a descriptor into the set, level-triggered: what has not been read is
// reported again.
func (p *epollPoller) add(fd int) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (p *epollPoller) Wait(d time.Duration) error {
	switch {
	case p.fd < 0:
		return fmt.Errorf("poller: %w", os.ErrClosed)
	case p.deadQueue.Load():
		return nil
	case d == 0:
		_, err := p.poll(0)
		return err
	case d < 0:
		return p.waitReady()
	}
	return p.waitUntil(time.Now().Add(d))
}

// waitReady passes over the alarm of an earlier Wait.
func (p *epollPoller) waitReady() error {
	for {
		if ready, err := p.poll(-1); ready || err != nil {
			return err
		}
	}
}

// waitUntil sets the alarm again if it rings before due, as that of an earlier
// Wait may.
func (p *epollPoller) waitUntil(due time.Time) error {
	for {
		left := time.Until(due)
		if left <= 0 {
			return nil
		}
		if err := p.alarm.set(due, left); err != nil {
			return err
		}
		if ready, err := p.poll(-1); ready || err != nil {
			return err
		}
	}
}

// poll waits for the set once and tells whether a queue or the bell was in what
// came. The alarm alone makes it return false. The timeout is epoll's: 0 or -1.
func (p *epollPoller) poll(timeout int) (ready bool, err error) {
	n, err := unix.EpollWait(p.fd, p.events[:], timeout)
	if err == unix.EINTR {
		return false, nil // the runtime interrupts threads to preempt goroutines
	}
	if err != nil {
		return false, fmt.Errorf("epoll: %w", err)
	}
	for _, event := range p.events[:n] {
		switch int(event.Fd) {
		case p.alarm.fd:
			p.alarm.clear()
		case p.bell.fd:
			p.bell.clear()
			ready = true
		default:
			ready = true
		}
	}
	return ready, nil
}

func (p *epollPoller) Wake() { p.bell.ring() }

// queueClosed is Wake for good: the queue has left the set and cannot be reported.
func (p *epollPoller) queueClosed() {
	p.deadQueue.Store(true)
	p.bell.ring()
}

func (p *epollPoller) Close() error {
	for _, q := range p.queues {
		q.unwatch(p)
	}
	p.queues = nil
	return errors.Join(p.bell.close(), p.alarm.close(), closeFD(&p.fd))
}

// closeFD closes what is open and marks it closed.
func closeFD(fd *int) error {
	if *fd < 0 {
		return nil
	}
	err := unix.Close(*fd)
	*fd = -1
	return err
}
