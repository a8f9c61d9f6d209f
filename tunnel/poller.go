package tunnel

import (
	"errors"
	"time"
)

// A Poller waits until a queue can be read, a time has come, or somebody wakes
// it. One worker owns it; only Wake may be called from other goroutines.
type Poller interface {
	// Wait returns at the first of: a packet in any of the queues, one that has
	// been left there included; d passed, and never sooner; a Wake since the
	// last Wait. d < 0 is no limit, and d == 0 looks without waiting. A closed
	// queue counts as readable: its Read tells. Which it was is not said, a
	// worker looks at everything anyway. An error is the Poller's end; after
	// Close it wraps os.ErrClosed.
	Wait(d time.Duration) error

	// Wake makes the Wait under way return, or the next one if there is none.
	// Wakes in between are one. After Close it does nothing.
	Wake()

	// Close lets go of what the Poller holds, the queues not included. The
	// worker calls it, when no Wait is under way. Closing again returns nil.
	Close() error
}

// A Source is a Queue without a descriptor, such as tunneltest has. Its Poller
// is made of channels and a time.Timer, so that it works in a testing/synctest bubble.
type Source interface {
	Queue

	// Ready tells whether Read would return something else than ErrEmpty.
	Ready() bool

	// Notify asks for a send to c, which does not block, whenever Ready has
	// become true, until stop is called. A full c needs no further send.
	Notify(c chan<- struct{}) (stop func())
}

// NewPoller makes the Poller of a worker that reads these queues, of one or
// several devices. They are all of the kernel or all Sources; a mixture is
// refused with an error that wraps errors.ErrUnsupported, and a queue that is
// closed already with one that wraps os.ErrClosed.
//
// A Queue that stands in front of another one has a method Unwrap, which gives that.
func NewPoller(queues ...Queue) (Poller, error) {
	queues = innermost(queues)
	if sources, ok := all[Source](queues); ok {
		return newChanPoller(sources), nil
	}
	if files, ok := all[*queue](queues); ok {
		return newEpollPoller(files)
	}
	return nil, errMixed
}

var errMixed = errors.Join(errors.New("a poller takes queues of the kernel or fakes, not both"), errors.ErrUnsupported)

// innermost is the queues that others stand in front of: there is no packet before
// there is one in them.
func innermost(queues []Queue) []Queue {
	inner := make([]Queue, len(queues))
	for i, q := range queues {
		for {
			outer, ok := q.(interface{ Unwrap() Queue })
			if !ok {
				break
			}
			q = outer.Unwrap()
		}
		inner[i] = q
	}
	return inner
}

// all converts the queues, if each is a Q.
func all[Q any](queues []Queue) ([]Q, bool) {
	same := make([]Q, 0, len(queues))
	for _, q := range queues {
		s, ok := q.(Q)
		if !ok {
			return nil, false
		}
		same = append(same, s)
	}
	return same, true
}
