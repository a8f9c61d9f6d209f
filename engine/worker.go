package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A worker is one thread with its queues, its Box and everything in it. It
// polls its queues and the next due time, reads until they are dry, decides,
// and writes at once.
type worker struct {
	engine  *Engine
	box     *Box
	inlets  []inlet
	outlets [2]tunnel.Queue // by device
	poller  tunnel.Poller
	spare   *Buf // to read into
	mail    mailbox
	spinner spinner
	done    chan struct{} // closed when run has ended
}

// An inlet is a queue that a worker reads, and the device that has it.
type inlet struct {
	tunnel.Queue
	side int
}

// newWorker makes the worker of that index out of n. It reads each nth queue of both
// devices, which is one of each as a rule, and writes to its own: from a
// packet that is written the kernel learns in which queue its flow is at home.
func newWorker(e *Engine, index, n int) (*worker, error) {
	w := &worker{engine: e, done: make(chan struct{}), spinner: spinner{most: longestSpin(e.cfg.BusyPoll, n)}}
	var polled []tunnel.Queue
	for side, d := range e.cfg.Devices {
		w.outlets[side] = d.Queue(index)
		for i := index; i < d.Queues(); i += n {
			w.inlets = append(w.inlets, inlet{d.Queue(i), side})
			polled = append(polled, d.Queue(i))
		}
	}
	poller, err := tunnel.NewPoller(polled...)
	if err != nil {
		return nil, fmt.Errorf("poll the devices: %w", err)
	}
	w.poller = poller
	w.box = NewBox(e.boxConfig(w), 0)
	return w, nil
}

// Write gives a packet to its device; it makes the worker the Box's Output.
func (w *worker) Write(e *Emission) error {
	return w.outlets[e.Side].Write(e.Header, e.Head, e.Body)
}

func (w *worker) now() time.Duration { return w.engine.Since() }

// run is the worker's thread.
func (w *worker) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(w.done)
	defer w.poller.Close()
	defer w.box.Shutdown()
	for !w.engine.stopping() {
		start := w.now()
		n, err := w.readAll()
		if err != nil {
			return err
		}
		w.box.Advance(w.now())
		if w.mail.waiting() {
			w.serve() // what had come and what was due is done by then, however late this thread has woken
			continue
		}
		if n == burst {
			continue // there may be more
		}
		w.box.table.SentAfter(start) // for the queues were empty
		if err := w.rest(); err != nil {
			return err
		}
	}
	return nil
}

// burst is how many packets are read from one queue before the others have their turn.
const burst = 64

// readAll reads from the queues in turn. It returns the most that came from one of them.
func (w *worker) readAll() (most int, err error) {
	for i := range w.inlets {
		n, err := w.read(&w.inlets[i])
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	return most, nil
}

// read gives the Box what a queue has, up to a burst.
func (w *worker) read(in *inlet) (n int, err error) {
	for n < burst {
		if w.spare == nil {
			w.spare = w.box.Buf()
		}
		size, header, err := in.Read(w.spare.Space())
		switch {
		case errors.Is(err, tunnel.ErrEmpty):
			return n, nil
		case errors.Is(err, os.ErrClosed) && w.engine.stopping():
			return n, nil
		case err != nil:
			return n, fmt.Errorf("read %s: %w", w.engine.cfg.Devices[in.side].Name(), err)
		}
		buf := w.spare
		w.spare = nil
		buf.Header = header
		buf.SetLen(size)
		w.box.Receive(w.now(), in.side, buf)
		n++
	}
	return n, nil
}

// rest waits for a packet, the next due time or mail, and looks for packets a little
// longer first.
func (w *worker) rest() error {
	if came, err := w.spin(); came || err != nil {
		return err
	}
	start := w.now()
	err := w.wait()
	end := w.now()
	w.spinner.waited(end - start)
	if end-start > asleep {
		w.box.table.SentAfter(end) // what comes now has woken it
	}
	return err
}

// asleep is a wait in which no packet was there when it began.
const asleep = time.Millisecond

func (w *worker) wait() error {
	if err := w.poller.Wait(w.sleep()); err != nil {
		return fmt.Errorf("wait for packets: %w", err)
	}
	return nil
}

// serve does what the mailbox asks for.
func (w *worker) serve() {
	h, releases := w.mail.take()
	for _, f := range releases {
		w.box.now = w.now()
		f.release(w.box)
	}
	if h != nil {
		close(h.stands)
		<-h.resume
	}
}

// halt asks the worker to stand still until resume is closed.
func (w *worker) halt(resume chan struct{}) *halt {
	h := &halt{stands: make(chan struct{}), resume: resume}
	w.mail.putHalt(h)
	w.poller.Wake()
	return h
}

// release asks the worker to do a release action on its own connections, soon.
func (w *worker) release(f *releaseFault) {
	w.mail.putRelease(f)
	w.poller.Wake()
}
