package control

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
)

const (
	maxListeners = 64
	maxLines     = 8192    // that wait for one listener
	maxBytes     = 4 << 20 // of them
)

// A hub hands events on to those who listen: readers of streams, and waits. Workers tell it; while
// nobody listens, they do not even make an event.
type hub struct {
	eng     *engine.Engine
	joining sync.Mutex // one at a time joins or leaves; no worker waits for it
	lost    atomic.Uint64

	mu        sync.Mutex // taken by workers, shortly
	listeners []*listener
	vigils    []vigil
}

// hear is told what happens.
func (h *hub) hear(e *engine.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.vigils {
		v.hear(e)
	}
	var line []byte
	for _, l := range h.listeners {
		if !l.wants(e) {
			continue
		}
		if line == nil {
			line = e.AppendJSON(make([]byte, 0, 384))
		}
		if !l.put(line, e.Time) {
			h.lost.Add(1)
		}
	}
}

// join lets a reader hear from now on. Who has joined has to leave.
func (h *hub) join(l *listener) error {
	return h.change(func() error {
		if len(h.listeners) >= maxListeners {
			return refuse(http.StatusTooManyRequests, "%d listen to events already", maxListeners)
		}
		h.listeners = append(h.listeners, l)
		return nil
	})
}

// leave ends that.
func (h *hub) leave(l *listener) {
	_ = h.change(func() error { // an engine that has stopped tells nothing
		h.listeners = slices.DeleteFunc(h.listeners, func(other *listener) bool { return other == l })
		return nil
	})
}

// attend lets a wait hear from now on. Who has attended has to be dismissed.
func (h *hub) attend(v vigil) error {
	return h.change(func() error {
		if len(h.vigils) >= maxWaits {
			return refuse(http.StatusTooManyRequests, "%d wait already", maxWaits)
		}
		h.vigils = append(h.vigils, v)
		return nil
	})
}

// dismiss ends that.
func (h *hub) dismiss(v vigil) {
	_ = h.change(func() error {
		h.vigils = slices.DeleteFunc(h.vigils, func(other vigil) bool { return other == v })
		return nil
	})
}

// change changes who listens, and asks the engine for as much as all of them want.
func (h *hub) change(do func() error) error {
	h.joining.Lock()
	defer h.joining.Unlock()
	h.mu.Lock()
	err := do()
	scope := h.scope()
	h.mu.Unlock()
	if err != nil {
		return err
	}
	return h.eng.Listen(h.hear, scope)
}

// scope is as much as all want.
func (h *hub) scope() engine.Scope {
	switch {
	case slices.ContainsFunc(h.listeners, func(l *listener) bool { return l.all }):
		return engine.Everything
	case len(h.listeners) > 0:
		return engine.Selected
	case len(h.vigils) > 0:
		return engine.Lives
	}
	return engine.Nothing
}

// count is how many read events, and how many wait. Who is counted hears: what happens from then
// on is told.
func (h *hub) count() (readers, waits int) {
	h.joining.Lock()
	defer h.joining.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.listeners), len(h.vigils)
}

// A listener keeps lines for one reader, so many and no more: a reader that is too slow
// loses events, and is told how many, but holds nobody up.
type listener struct {
	types []string // none: all
	conn  uint64   // 0: any
	rule  string   // "": any
	all   bool     // also of connections that no rule can concern

	wake chan struct{} // has an element if there is something to take

	mu     sync.Mutex
	lines  [][]byte
	bytes  int
	lost   uint64
	lostAt time.Duration // the last
}

func (l *listener) wants(e *engine.Event) bool {
	return (l.all || e.Conn == 0 || e.Selected) &&
		(l.types == nil || slices.Contains(l.types, string(e.Type))) &&
		(l.conn == 0 || l.conn == e.Conn) &&
		(l.rule == "" || slices.Contains(e.Rules, l.rule))
}

// put keeps a line, which nobody changes any more; ok is false if it is lost.
func (l *listener) put(line []byte, at time.Duration) (ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost > 0 || len(l.lines) >= maxLines || l.bytes+len(line) > maxBytes {
		l.lost++
		l.lostAt = at
		return false
	}
	l.lines = append(l.lines, line)
	l.bytes += len(line)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

// take empties the listener. What was lost is told of by an event at the end.
func (l *listener) take() (lines [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines = l.lines
	if l.lost > 0 {
		overflow := engine.Event{
			Type: engine.EventOverflow, Time: l.lostAt, Reason: "reader",
			Detail: fmt.Sprintf("%d events are lost: their reader is too slow", l.lost),
		}
		lines = append(lines, overflow.AppendJSON(nil))
	}
	l.lines, l.bytes, l.lost = nil, 0, 0
	return lines
}
