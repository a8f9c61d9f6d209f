package engine

import "time"

// Listen lets tell hear of what happens from now on, besides Config.OnEvent and on its
// terms; nil ends that. With all it hears of connections that no rule can concern,
// too. There is one listener at a time.
func (e *Engine) Listen(tell func(*Event), all bool) error {
	return e.still(func(time.Duration) {
		for _, b := range e.boxes {
			b.cfg.OnEvent = e.joined(tell, all)
			b.cfg.AllEvents = e.cfg.AllEvents || all && tell != nil
		}
	})
}

// joined is what tells both Config.OnEvent and tell, and the former no more than it
// has asked for.
func (e *Engine) joined(tell func(*Event), all bool) func(*Event) {
	own := e.cfg.OnEvent
	switch {
	case tell == nil:
		return own
	case own == nil:
		return tell
	}
	everything := e.cfg.AllEvents || !all
	return func(ev *Event) {
		if everything || ev.Conn == 0 || ev.Selected {
			own(ev)
		}
		tell(ev)
	}
}

// KnownEvent tells whether there are events of a type.
func KnownEvent(name string) bool {
	switch EventType(name) {
	case EventOpen, EventState, EventDesync, EventSegment, EventDeliver, EventRule,
		EventClose, EventOverflow, EventReload, EventExpect:
		return true
	}
	return false
}
