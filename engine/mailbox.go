package engine

import (
	"slices"
	"sync"
	"sync/atomic"
)

// A mailbox is what others want of a worker, which looks into it between two
// reads. It is bounded: there is one halt at a time, and each release action of
// the rules is in it once. Any goroutine may put.
type mailbox struct {
	some atomic.Bool // asked at each turn of the worker

	mu       sync.Mutex
	halt     *halt
	releases []*releaseFault
}

// A halt makes a worker stand still between two packets, so that somebody else
// may use its Box.
type halt struct {
	stands chan struct{} // closed by the worker once it stands
	resume chan struct{} // closed by who has halted it
}

func (m *mailbox) putHalt(h *halt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.halt = h // one that was there has been given up
	m.some.Store(true)
}

func (m *mailbox) putRelease(f *releaseFault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.releases, f) {
		m.releases = append(m.releases, f)
	}
	m.some.Store(true)
}

// waiting tells whether there is mail.
func (m *mailbox) waiting() bool { return m.some.Load() }

// take empties the mailbox.
func (m *mailbox) take() (h *halt, releases []*releaseFault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, releases = m.halt, m.releases
	m.halt, m.releases = nil, nil
	m.some.Store(false)
	return h, releases
}
