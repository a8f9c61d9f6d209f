package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A worker is one thread with its queue pair, its Box and everything in it. It
// polls both queues and the next due time, reads until they are dry, decides,
// and writes at once.
type worker struct {
	engine *Engine
	box    *Box
	queues [2]tunnel.Queue
	poller tunnel.Poller
	spare  *Buf // to read into
	calls  chan call
	quit   chan struct{} // closed by stop
	done   chan struct{} // closed when run has ended
}

type call struct {
	f    func(*Box, time.Duration)
	done chan struct{}
}

func newWorker(e *Engine) (*worker, error) {
	w := &worker{
		engine: e,
		calls:  make(chan call, 16),
		quit:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	cfg := BoxConfig{
		Rules: e.cfg.Rules, Seed: e.cfg.Seed, Output: w, OnEvent: e.cfg.OnEvent, AllEvents: e.cfg.AllEvents,
		Tap: e.cfg.Tap, Stacks: e.cfg.Stacks, MaxConns: e.cfg.MaxConns,
	}
	for i, d := range e.cfg.Devices {
		w.queues[i] = d.Queue(0)
		cfg.Offload[i] = d.Offload()
	}
	poller, err := tunnel.NewPoller(w.queues[0], w.queues[1])
	if err != nil {
		return nil, fmt.Errorf("poll the devices: %w", err)
	}
	w.poller = poller
	w.box = NewBox(cfg, 0)
	return w, nil
}

// Write gives a packet to its device; it makes the worker the Box's Output.
func (w *worker) Write(e *Emission) error {
	return w.queues[e.Side].Write(e.Header, e.Head, e.Body)
}

func (w *worker) now() time.Duration { return time.Since(w.engine.start) }

// run is the worker's thread.
func (w *worker) run() (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(w.done)
	defer w.poller.Close()
	defer w.box.Shutdown()
	for {
		select {
		case <-w.quit:
			return nil
		case c := <-w.calls:
			w.serve(c)
			continue
		default:
		}
		busy, err := w.readBoth()
		if err != nil {
			return err
		}
		w.box.Advance(w.now())
		if busy {
			continue
		}
		if err := w.poller.Wait(w.untilNext()); err != nil {
			return fmt.Errorf("wait for packets: %w", err)
		}
	}
}

// burst is how many packets are read from one device before the other has its turn.
const burst = 64

// readBoth reads from both devices in turn and tells whether more may be waiting.
func (w *worker) readBoth() (busy bool, err error) {
	for side := range w.queues {
		more, err := w.read(side)
		if err != nil {
			return false, err
		}
		busy = busy || more
	}
	return busy, nil
}

func (w *worker) read(side int) (more bool, err error) {
	for range burst {
		if w.spare == nil {
			w.spare = w.box.Buf()
		}
		n, header, err := w.queues[side].Read(w.spare.Space())
		switch {
		case errors.Is(err, tunnel.ErrEmpty):
			return false, nil
		case errors.Is(err, os.ErrClosed) && w.stopping():
			return false, nil
		case err != nil:
			return false, fmt.Errorf("read %s: %w", w.engine.cfg.Devices[side].Name(), err)
		}
		buf := w.spare
		w.spare = nil
		buf.Header = header
		buf.SetLen(n)
		w.box.Receive(w.now(), side, buf)
	}
	return true, nil
}

// untilNext is how long nothing is due; negative if nothing ever is.
func (w *worker) untilNext() time.Duration {
	next, ok := w.box.Next()
	if !ok {
		return -1
	}
	return max(next-w.now(), 0)
}

func (w *worker) serve(c call) {
	c.f(w.box, w.now())
	close(c.done)
}

// call hands f to the worker's thread and waits for it.
func (w *worker) call(f func(*Box, time.Duration)) error {
	c := call{f, make(chan struct{})}
	select {
	case w.calls <- c:
	case <-w.done:
		return ErrStopped
	}
	w.poller.Wake()
	select {
	case <-c.done:
		return nil
	case <-w.done:
		select {
		case <-c.done: // it was served, and then the end came
			return nil
		default:
			return ErrStopped
		}
	}
}

// inspect calls f on the Box: on its thread, or here once that has ended.
func (w *worker) inspect(f func(*Box)) {
	if w.call(func(b *Box, _ time.Duration) { f(b) }) != nil {
		f(w.box)
	}
}

func (w *worker) stop() {
	select {
	case <-w.quit:
	default:
		close(w.quit)
	}
	w.poller.Wake()
}

func (w *worker) stopping() bool {
	select {
	case <-w.quit:
		return true
	default:
		return false
	}
}
