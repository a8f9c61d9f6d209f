package engine

import (
	"context"
	"errors"
	"fmt"
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
	// OnEvent is told what happens, in order, by the worker that does it: what
	// takes long there delays packets. nil if nobody listens.
	OnEvent func(*Event)
	// AllEvents: also events of connections that no rule can concern.
	AllEvents bool
	// Tap is shown each segment where it is sent and where it is delivered; see BoxConfig.
	Tap func(side int, now time.Duration, data []byte, comment string)
	// Stacks are the hosts behind the devices.
	Stacks   [2]conntrack.Stack
	MaxConns int         // 0 means conntrack.DefaultMax
	Log      *zap.Logger // nil means none
}

// ErrStopped is what Call returns once Run has ended.
var ErrStopped = errors.New("the engine has stopped")

// An Engine moves packets between two devices through a Box. Its methods may
// be called from any goroutine.
type Engine struct {
	cfg    Config
	log    *zap.Logger
	start  time.Time
	worker *worker
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
	e := &Engine{cfg: cfg, log: cfg.Log, start: time.Now()}
	w, err := newWorker(e)
	if err != nil {
		return nil, err
	}
	e.worker = w
	return e, nil
}

// Run moves packets until ctx ends, then it gives up what is held or delayed,
// which is counted, and returns nil. A device that fails ends it with the cause.
func (e *Engine) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, e.worker.stop)
	defer stop()
	e.log.Info("running", zap.String("near", e.cfg.Devices[0].Name()), zap.String("far", e.cfg.Devices[1].Name()),
		zap.Bool("offload", e.cfg.Devices[0].Offload()))
	err := e.worker.run()
	if err != nil {
		e.log.Error("stopped", zap.Error(err))
	}
	return err
}

// Since is the Engine's clock: what events carry as their time.
func (e *Engine) Since() time.Duration { return time.Since(e.start) }

// Start is when the Engine's clock stood at zero.
func (e *Engine) Start() time.Time { return e.start }

// Call runs f on the Box between two packets, and waits for it. f must not
// keep the Box. After Run has ended it returns ErrStopped.
func (e *Engine) Call(f func(b *Box, now time.Duration)) error { return e.worker.call(f) }

// Reload puts other rules in force, in one step between two packets.
func (e *Engine) Reload(set *rules.Set) error {
	return e.Call(func(b *Box, now time.Duration) { b.SetRules(now, set) })
}

// Stats counts what was done so far; it works after Run too.
func (e *Engine) Stats() Stats {
	var s Stats
	e.worker.inspect(func(b *Box) { s = b.Stats() })
	return s
}

// Report tells of each rule how often it has fired; it works after Run too.
func (e *Engine) Report() []RuleReport {
	var r []RuleReport
	e.worker.inspect(func(b *Box) { r = b.Report() })
	return r
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
