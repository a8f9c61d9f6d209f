package lab

import (
	"io"
	"slices"
	"sync"

	"github.com/tcpmangle/tcpmangle/engine"
)

// An explainer writes what the rules made of each segment. It gathers text in
// memory, so that the box does not wait for a terminal at each line.
type explainer struct {
	w io.Writer

	mu   sync.Mutex
	text []byte
	err  error
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
	x.text = own.AppendText(x.text)
	if len(x.text) > 1<<20 {
		x.flushLocked()
	}
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
