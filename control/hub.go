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

// A hub hands events on to those who listen. Workers tell it; while nobody listens, they
// do not even make an event.
type hub struct {
	eng     *engine.Engine
	joining sync.Mutex // one at a time joins or leaves; no worker waits for it
	lost    atomic.Uint64

	mu        sync.Mutex // taken by workers, shortly
	listeners []*listener
}

// hear is told what happens.
func (h *hub) hear(e *engine.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
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

// join lets a listener hear from now on.
func (h *hub) join(l *listener) error {
	h.joining.Lock()
	defer h.joining.Unlock()
	h.mu.Lock()
	full := len(h.listeners) >= maxListeners
	if !full {
		h.listeners = append(h.listeners, l)
	}
	h.mu.Unlock()
	if full {
		return refuse(http.StatusTooManyRequests, "%d listen to events already", maxListeners)
	}
	return h.attach()
}

// leave ends that.
func (h *hub) leave(l *listener) {
	h.joining.Lock()
	defer h.joining.Unlock()
	h.mu.Lock()
	h.listeners = slices.DeleteFunc(h.listeners, func(other *listener) bool { return other == l })
	h.mu.Unlock()
	_ = h.attach() // an engine that has stopped tells nothing
}

// attach asks the engine for as much as the listeners want.
func (h *hub) attach() error {
	h.mu.Lock()
	n := len(h.listeners)
	all := slices.ContainsFunc(h.listeners, func(l *listener) bool { return l.all })
	h.mu.Unlock()
	if n == 0 {
		return h.eng.Listen(nil, false)
	}
	return h.eng.Listen(h.hear, all)
}

// count is how many listen.
func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.listeners)
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
