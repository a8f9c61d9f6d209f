package lab

import (
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
)

// An explainer writes what the rules made of each segment. It gathers text in
// memory, so that the box does not wait for a terminal at each line.
type explainer struct {
	w io.Writer

	mu    sync.Mutex
	zero  time.Duration // the client's start, which times count from
	begun bool          // zero is known; until then looks wait
	early []engine.Look
	text  []byte
	err   error
}

// look is what the box is to call; nil if nobody asks.
func (x *explainer) look() func(*engine.Look) {
	if x.w == nil {
		return nil
	}
	return x.hear
}

// hear takes a look, without the rules that the base path is made of.
func (x *explainer) hear(l *engine.Look) {
	own := *l
	own.Looks = slices.DeleteFunc(slices.Clone(l.Looks), func(r engine.RuleLook) bool { return isLinkRule(r.Rule) })
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.begun {
		own.Event = own.Event.Clone()
		x.early = append(x.early, own)
		return
	}
	x.write(&own)
}

func (x *explainer) write(l *engine.Look) {
	l.Time -= x.zero
	x.text = l.AppendText(x.text)
	if len(x.text) > 1<<20 {
		x.flushLocked()
	}
}

// begin says which moment is zero, and writes what was before it. Later calls do nothing.
func (x *explainer) begin(zero time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.begun {
		return
	}
	x.zero, x.begun = zero, true
	for i := range x.early {
		x.write(&x.early[i])
	}
	x.early = nil
}

func (x *explainer) flush() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.flushLocked()
	return x.err
}

func (x *explainer) flushLocked() {
	if x.err == nil && len(x.text) > 0 {
		_, x.err = x.w.Write(x.text)
	}
	x.text = x.text[:0]
}
