package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A Config sets up an Engine.
type Config struct {
	// Devices are the two ends. Whoever opened them closes them, after Run.
	Devices [2]tunnel.Device
	Rules   *rules.Set // nil: none
	Seed    uint64
	// Workers is how many threads share the work; 0 means 1. Each needs a queue
	// of its own on both devices, else there will be only one: see Engine.Workers.
	Workers int
	// BusyPoll lets a worker look for packets for up to 100 µs before it waits,
	// while that pays, where it is 30 µs otherwise. It spends a processor on latency.
	BusyPoll bool
	// OnEvent is told what happens, in order, by the worker that does it: what
	// takes long there delays packets, and it must not call the Engine. Of several
	// workers one speaks at a time; then the order holds for each connection, and
	// times of different ones may cross by a step. nil if nobody listens.
	OnEvent func(*Event)
	// AllEvents: also events of connections that no rule can concern.
	AllEvents bool
	// OnLook is told what the rules made of each segment; see BoxConfig. Of several
	// workers one calls it at a time.
	OnLook func(*Look)
	// Tap is shown each segment where it is sent and where it is delivered; see
	// BoxConfig. Of several workers one calls it at a time.
	Tap func(side int, now time.Duration, data []byte, comment string)
	// Stacks are the hosts behind the devices.
	Stacks   [2]conntrack.Stack
	MaxConns int         // of each worker; 0 means conntrack.DefaultMax
	Log      *zap.Logger // nil means none
}

// ErrStopped is what calls return once Run has ended.
var ErrStopped = errors.New("the engine has stopped")

// An Engine moves packets between two devices through Boxes, one for each
// worker. Its methods may be called from any goroutine, before Run, too.
type Engine struct {
	cfg      Config
	log      *zap.Logger
	start    time.Time
	steering Steering
	totals   *Totals // nil if there is one worker
	workers  []*worker
	boxes    []*Box // the workers'

	quit chan struct{}
	stop func() // closes quit, and wakes the workers so that they see it

	mu      sync.Mutex // one halt at a time
	running bool       // Run has begun
}

// New makes an Engine; its clock starts here.
func New(cfg Config) (*Engine, error) {
	for i, d := range cfg.Devices {
		if d == nil {
			return nil, fmt.Errorf("device %d is missing", i)
		}
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	e := &Engine{cfg: cfg, log: cfg.Log, start: time.Now(), quit: make(chan struct{})}
	e.stop = sync.OnceFunc(e.end)
	n := e.steer()
	if n > 1 {
		e.share()
	}
	if err := e.hire(n); err != nil {
		return nil, err
	}
	return e, nil
}

// share prepares for several workers: they count together, and one of them speaks at a time.
func (e *Engine) share() {
	e.totals = &Totals{release: e.releaseElsewhere}
	var mu sync.Mutex
	if tell := e.cfg.OnEvent; tell != nil {
		e.cfg.OnEvent = func(ev *Event) {
			mu.Lock()
			defer mu.Unlock()
			tell(ev)
		}
	}
	if look := e.cfg.OnLook; look != nil {
		e.cfg.OnLook = func(l *Look) {
			mu.Lock()
			defer mu.Unlock()
			look(l)
		}
	}
	if tap := e.cfg.Tap; tap != nil {
		e.cfg.Tap = func(side int, now time.Duration, data []byte, comment string) {
			mu.Lock()
			defer mu.Unlock()
			tap(side, now, data, comment)
		}
	}
}

// hire makes the workers.
func (e *Engine) hire(n int) error {
	for i := range n {
		w, err := newWorker(e, i, n)
		if err != nil {
			for _, w := range e.workers {
				w.poller.Close()
			}
			return err
		}
		e.workers = append(e.workers, w)
		e.boxes = append(e.boxes, w.box)
	}
	return nil
}

// boxConfig is what the Box of a worker gets.
func (e *Engine) boxConfig(out Output) BoxConfig {
	return BoxConfig{
		Rules: e.cfg.Rules, Seed: e.cfg.Seed, Output: out, OnEvent: e.cfg.OnEvent, AllEvents: e.cfg.AllEvents,
		OnLook: e.cfg.OnLook, Tap: e.cfg.Tap, Stacks: e.cfg.Stacks, MaxConns: e.cfg.MaxConns, Totals: e.totals,
		Offload: [2]bool{e.cfg.Devices[0].Offload(), e.cfg.Devices[1].Offload()},
	}
}

// Run moves packets until ctx ends, then it gives up what is held or delayed,
// which is counted, and returns nil. A device that fails ends it with the cause. It is
// called once.
func (e *Engine) Run(ctx context.Context) error {
	e.mu.Lock()
	e.running = true
	e.mu.Unlock()
	defer context.AfterFunc(ctx, e.stop)()
	e.log.Info("running", zap.String("near", e.cfg.Devices[0].Name()), zap.String("far", e.cfg.Devices[1].Name()),
		zap.Bool("offload", e.cfg.Devices[0].Offload()), zap.Int("workers", len(e.workers)), zap.Stringer("steering", e.steering))
	errs := make([]error, len(e.workers))
	var all sync.WaitGroup
	for i, w := range e.workers {
		all.Go(func() {
			defer e.stop() // none goes on without the others
			errs[i] = w.run()
		})
	}
	all.Wait()
	err := cmp.Or(errs...)
	if err != nil {
		e.log.Error("stopped", zap.Error(err))
	}
	return err
}

// end is stop, which is once.
func (e *Engine) end() {
	close(e.quit)
	for _, w := range e.workers {
		w.poller.Wake()
	}
}

func (e *Engine) stopping() bool {
	select {
	case <-e.quit:
		return true
	default:
		return false
	}
}

// Stopped is closed when Run comes to its end, for whatever cause: who waits for something to happen waits in vain.
func (e *Engine) Stopped() <-chan struct{} { return e.quit }

// Since is the Engine's clock: what events carry as their time.
func (e *Engine) Since() time.Duration { return time.Since(e.start) }

// Start is when the Engine's clock stood at zero.
func (e *Engine) Start() time.Time { return e.start }

// Workers is how many threads share the work. It is what Config asks for, or one
// if the devices have not as many queues, or one device more than the other.
func (e *Engine) Workers() int { return len(e.workers) }

// Steering is how packets get to the worker that has their connection.
func (e *Engine) Steering() Steering { return e.steering }

// Call runs f while all workers stand still between two packets, on each Box in turn, and
// waits for it. f must neither keep the Box nor call the Engine. After Run has ended it returns ErrStopped.
func (e *Engine) Call(f func(b *Box, now time.Duration)) error {
	return e.still(func(now time.Duration) {
		for _, b := range e.boxes {
			f(b, now)
		}
	})
}

// Reload puts other rules in force, in one step between two packets; nil is none.
func (e *Engine) Reload(set *rules.Set) error {
	return e.still(func(now time.Duration) { setRules(now, set, e.boxes) })
}

// Stats counts what was done so far; it works after Run too.
func (e *Engine) Stats() Stats {
	var s Stats
	e.inspect(func() {
		for _, b := range e.boxes {
			s.add(b.Stats())
		}
	})
	return s
}

// Report tells of each rule how often it has fired; it works after Run too.
func (e *Engine) Report() []RuleReport {
	var r []RuleReport
	e.inspect(func() { r = report(e.boxes) })
	return r
}

// still runs f while all workers stand still, so that f may use their Boxes.
func (e *Engine) still(f func(now time.Duration)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	resume, err := e.halt()
	if err != nil {
		return err
	}
	defer resume()
	f(e.Since())
	return nil
}

// inspect calls f while all workers stand still, or once they have ended.
func (e *Engine) inspect(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if resume, err := e.halt(); err == nil {
		defer resume()
		for _, b := range e.boxes {
			b.now = e.Since() // a silence lasts until now
		}
	} else {
		for _, w := range e.workers {
			<-w.done
		}
	}
	f()
}

// halt has all workers stand still until resume is called. Before Run there is nobody who
// moves, and after it the error is ErrStopped. The caller has the lock.
func (e *Engine) halt() (resume func(), err error) {
	if !e.running {
		return func() {}, nil
	}
	until := make(chan struct{})
	resume = func() { close(until) }
	halts := make([]*halt, len(e.workers))
	for i, w := range e.workers {
		halts[i] = w.halt(until)
	}
	for i, w := range e.workers {
		select {
		case <-halts[i].stands:
		case <-w.done:
			resume()
			return nil, ErrStopped
		}
	}
	return resume, nil
}

// releaseElsewhere hands a release action on to all workers but the one that did it.
func (e *Engine) releaseElsewhere(from *Box, f *releaseFault) {
	for _, w := range e.workers {
		if w.box != from {
			w.release(f)
		}
	}
}

// RingDrops is how many packets the kernel lost before they were read, on both
// devices: faults that nobody asked for.
func (e *Engine) RingDrops() (n uint64, err error) {
	for _, d := range e.cfg.Devices {
		lost, derr := d.Dropped()
		n += lost
		err = errors.Join(err, derr)
	}
	return n, err
}
