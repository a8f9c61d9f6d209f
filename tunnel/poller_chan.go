package tunnel

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// chanPoller is the Poller of Sources. The signal channel says that something may
// have happened; what did is asked of the sources and of woken, so that a signal
// too many does no harm and one for a packet left behind is not missed.
type chanPoller struct {
	sources []Source
	stops   []func()
	signal  chan struct{}
	timer   *time.Timer
	woken   atomic.Bool
	closed  bool
}

func newChanPoller(sources []Source) *chanPoller {
	p := &chanPoller{
		sources: sources,
		signal:  make(chan struct{}, 1),
		timer:   time.NewTimer(0),
	}
	p.timer.Stop()
	for _, s := range sources {
		p.stops = append(p.stops, s.Notify(p.signal))
	}
	return p
}

func (p *chanPoller) Wait(d time.Duration) error {
	if p.closed {
		return fmt.Errorf("poller: %w", os.ErrClosed)
	}
	var expired <-chan time.Time
	if d > 0 {
		p.timer.Reset(d)
		defer p.timer.Stop()
		expired = p.timer.C
	}
	for !p.ready() && d != 0 {
		select {
		case <-p.signal:
		case <-expired:
			return nil
		}
	}
	return nil
}

// ready takes the wake-up, if there is one.
func (p *chanPoller) ready() bool {
	if p.woken.Swap(false) {
		return true
	}
	for _, s := range p.sources {
		if s.Ready() {
			return true
		}
	}
	return false
}

func (p *chanPoller) Wake() {
	p.woken.Store(true)
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

func (p *chanPoller) Close() error {
	p.closed = true
	for _, stop := range p.stops {
		stop()
	}
	p.stops = nil
	return nil
}
