package engine

import "time"

// A Scope is how much somebody wants to hear.
type Scope uint8

// The scopes. Each has what stands before it.
const (
	// Nothing is for who listens no longer.
	Nothing Scope = iota
	// Lives: how all connections open, change their states and close; what rules do; and
	// when they change. It takes nothing away from the speed of segments.
	Lives
	// Selected: segments of connections that a rule can concern.
	Selected
	// Everything: segments of the others, too.
	Everything
)

// Listen lets tell hear of what happens from now on, besides Config.OnEvent and on its
// terms; Nothing ends that, and so does a tell that is nil. It hears of at least as much as it asks for:
// what Config.OnEvent is told it is told as well. There is one listener at a time.
func (e *Engine) Listen(tell func(*Event), s Scope) error {
	if tell == nil {
		s = Nothing
	}
	return e.still(func(time.Duration) {
		for _, b := range e.boxes {
			b.cfg.OnEvent = e.joined(tell, s)
			b.cfg.AllEvents = e.cfg.AllEvents || s == Everything
			b.cfg.lives = s >= Lives
			b.cfg.quiet = s < Selected && e.cfg.OnEvent == nil
		}
	})
}

// joined is what tells both Config.OnEvent and tell, and the former no more than it
// has asked for.
func (e *Engine) joined(tell func(*Event), s Scope) func(*Event) {
	own := e.cfg.OnEvent
	switch {
	case s == Nothing:
		return own
	case own == nil:
		return tell
	}
	return func(ev *Event) {
		if e.cfg.AllEvents || ev.Conn == 0 || ev.Selected {
			own(ev)
		}
		tell(ev)
	}
}
