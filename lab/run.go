package lab

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/capture"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// Options are about one execution. The zero value is fine.
type Options struct {
	IP        int                // 4 or 6; 0: the first that the file names
	Offload   tunnel.OffloadMode // which kind of device
	Workers   int                // threads that share the box's work; 0: one
	BusyPoll  bool               // they look for packets for a while before they wait
	Seed      *uint64            // in place of the file's
	Timeout   time.Duration      // in place of the file's; 0: that
	Events    io.Writer          // gets JSON lines, complete when Execute returns
	AllEvents bool               // also events of connections that no rule selects
	Explain   io.Writer          // gets lines on which rules looked at each segment, complete when Execute returns
	Capture   string             // a pcapng file to write
	Output    io.Writer          // gets each line of both hosts, with the host in front
	Log       *zap.Logger        // for the operator; nil: none

	// Through puts something between a host's device and the box, by side: the client's
	// is 0. It returns the device that the box shall use. nil: nothing.
	Through func(side int, d tunnel.Device) tunnel.Device
}

// workers is how many threads are asked for.
func (o Options) workers() int { return max(o.Workers, 1) }

// ErrNotLab is what Execute returns for a plain rule file.
var ErrNotLab = errors.New("the file has neither [client] nor [server]: it is a rule file, there is nothing to run")

// An OutputError says that something which Options asked for could not be written whole. The
// box goes on all the same: beside it Execute returns the result, unless it was known before
// anything had run.
type OutputError struct{ Err error }

func (e *OutputError) Error() string { return e.Err.Error() }
func (e *OutputError) Unwrap() error { return e.Err }

// outputError makes one of errors of which some may be nil; nil if all are.
func outputError(errs ...error) error {
	if err := errors.Join(errs...); err != nil {
		return &OutputError{err}
	}
	return nil
}

// A run is one execution.
type run struct {
	file *File
	opts Options
	ip   int
	seed uint64

	hosts    [2]*host
	actors   [2]*actor
	engine   *engine.Engine
	observer *observer
	explain  explainer
	capture  *capture.Writer
	output   sync.Mutex // of opts.Output

	actorsCtx  context.Context
	stopActors context.CancelFunc
	stopEngine context.CancelFunc
	engineDone chan error // has the result of Run, once

	poller  *poller
	compare *comparison
	began   time.Duration // on the box's clock
	judged  []judged
	steps   []*step // still to come
	done    []Step
	talked  *tuple // the connection that decided an expectation

	stirred time.Duration // when something last happened or was to come; see quiet
	heard   [2]uint64     // packets that the box had read by then

	interrupted bool
	problems    []string
}

// judged is one expectation under way.
type judged struct {
	Expectation
	check  check
	ruling ruling
}

// look asks the check, if it is not done; done tells whether it is now.
func (j *judged) look(m *moment) (f finding, done bool) {
	if j.ruling >= pass {
		return f, false
	}
	f = j.check.look(m)
	j.ruling = f.ruling
	if f.ruling < pass {
		return f, false
	}
	j.OK, j.Why, j.At = f.ruling == pass, f.why, f.at
	return f, true
}

// anyOpen tells whether one of them has to be looked at before the end.
func anyOpen(all []judged) bool {
	return slices.ContainsFunc(all, func(j judged) bool { return j.ruling == open })
}

// Execute runs a file once. It returns when the experiment is decided, when its time
// is over, or when ctx ends, and leaves nothing behind: no namespace, device, process
// or goroutine. A failed expectation is no error. The errors a caller may branch on:
// ErrNotLab; ErrMTU6; a *netns.MissingError, this machine cannot do it; a *netns.SysctlError; an
// *OutputError, beside which there may be a result.
func Execute(ctx context.Context, f *File, opts Options) (*Result, error) {
	if !f.IsLab() {
		return nil, fmt.Errorf("%s: %w", f.Path, ErrNotLab)
	}
	r := newRun(f, opts)
	if r.ip == 6 && f.MTU < leastMTU6 {
		return nil, ErrMTU6
	}
	if err := machine(); err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.open(); err != nil {
		return nil, err
	}
	if err := r.play(ctx); err != nil {
		return nil, err
	}
	return r.settle()
}

// machine tells what is missing on this machine.
func machine() error {
	if err := netns.Check(); err != nil {
		return err
	}
	if netns.NeedUserNS() {
		return &netns.MissingError{What: "a network namespace", Hint: "run as root", Err: syscall.EPERM}
	}
	return nil
}

func newRun(f *File, opts Options) *run {
	r := &run{file: f, opts: opts, explain: explainer{w: opts.Explain}, ip: opts.IP, steps: f.steps, compare: newComparison()}
	r.compare.stacks = [2]conntrack.Stack{f.hosts[0].stack(), f.hosts[1].stack()}
	r.actorsCtx, r.stopActors = context.WithCancel(context.Background())
	if r.ip == 0 {
		r.ip = f.IP[0]
	}
	if r.opts.Timeout == 0 {
		r.opts.Timeout = f.Timeout
	}
	switch {
	case opts.Seed != nil:
		r.seed = *opts.Seed
	case f.Rules.HasSeed:
		r.seed = f.Rules.Seed
	default:
		r.seed = randomSeed()
	}
	for _, e := range f.expects {
		r.judged = append(r.judged, judged{Expectation: Expectation{Text: e.String()}, check: e.check()})
	}
	return r
}

// randomSeed is a short one, since people copy it by hand.
func randomSeed() uint64 {
	var b [4]byte
	rand.Read(b[:])
	return uint64(binary.NativeEndian.Uint32(b[:]))
}

// open makes hosts, box and capture, and sets the box going.
func (r *run) open() (err error) {
	for side := range r.hosts {
		if r.hosts[side], err = openHost(side, r.file, r.ip, r.opts); err != nil {
			return err
		}
	}
	r.observer = newObserver(r.opts.Events, r.opts.AllEvents)
	cfg := engine.Config{
		Devices:   [2]tunnel.Device{r.device(0), r.device(1)},
		Rules:     withLink(r.file.Rules, r.file.Link),
		Seed:      r.seed,
		Workers:   r.opts.workers(),
		BusyPoll:  r.opts.BusyPoll,
		OnEvent:   r.observer.hear,
		OnLook:    r.explain.look(),
		AllEvents: true,
		Stacks:    r.compare.stacks,
		Log:       r.opts.Log,
	}
	if r.opts.Capture != "" {
		if r.capture, err = r.openCapture(); err != nil {
			return outputError(err)
		}
		cfg.Tap = r.capture.Packet
	}
	if r.engine, err = engine.New(cfg); err != nil {
		return err
	}
	r.poller = newPoller(r.hosts, r.engine.Since)
	if err := r.makeActors(); err != nil {
		return err
	}
	r.startEngine()
	return nil
}

// device is what the box uses of a host.
func (r *run) device(side int) tunnel.Device {
	d := r.hosts[side].dev
	if r.opts.Through == nil {
		return d
	}
	return r.opts.Through(side, d)
}

func (r *run) openCapture() (*capture.Writer, error) {
	comment := fmt.Sprintf("%s, seed %d", r.file.Path, r.seed)
	return capture.Create(r.opts.Capture, capture.Options{Comment: comment}, "client-side", "server-side")
}

func (r *run) makeActors() error {
	for side, spec := range r.file.hosts {
		if spec == nil {
			continue
		}
		conns := r.file.serves(side)
		if side == serverSide && spec.listens() {
			once := *spec // its copies are the connections that it serves
			once.copies = 0
			spec = &once
		}
		r.actors[side] = newActor(r.hosts[side], spec, conns, r.engine.Since, r.say)
		r.actors[side].serves = r.file.hosts[clientSide] != nil
		r.actors[side].wanted = r.file.outputs(side)
		if spec.run == nil {
			continue
		}
		if err := r.actors[side].place.open(r.file.dir); err != nil {
			return err
		}
	}
	return nil
}

// say shows a line of a host.
func (r *run) say(line string) {
	if r.opts.Output == nil {
		return
	}
	r.output.Lock()
	defer r.output.Unlock()
	fmt.Fprintln(r.opts.Output, line)
}

func (r *run) startEngine() {
	ctx, cancel := context.WithCancel(context.Background())
	r.stopEngine, r.engineDone = cancel, make(chan error, 1)
	go func() { r.engineDone <- r.engine.Run(ctx) }()
}

// haltEngine stops the box and waits for it. What hosts send from then on is lost.
func (r *run) haltEngine() error {
	if r.stopEngine == nil {
		return nil
	}
	r.stopEngine()
	r.stopEngine = nil
	return <-r.engineDone
}

// close takes everything down, in the order in which nothing waits for what is gone:
// the box, then whoever runs on the hosts, then the hosts.
func (r *run) close() error {
	err := r.haltEngine()
	for _, a := range r.actors {
		if a != nil {
			r.silence(a)
			err = errors.Join(err, a.place.close())
		}
	}
	err = errors.Join(err, r.closeCapture())
	for i, h := range r.hosts {
		if h != nil {
			err = errors.Join(err, h.close())
			r.hosts[i] = nil
		}
	}
	return err
}

// silence ends an actor, and everything that its host's kernel still does for it.
func (r *run) silence(a *actor) {
	a.vanish()
	r.stopActors()
	a.host.wipeUntil(a.gone())
}
