package lab

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// An actor is what one host does: its script or program, in so many copies.
// Goroutines may share it.
type actor struct {
	host *host
	spec *hostSpec
	// conns is how many connections a script that listens serves.
	conns int
	// serves tells that somebody else's work decides how long this takes: a program
	// on the server is not waited for where there is a client.
	serves bool
	clock  func() time.Duration
	place  place
	// say gets each line as it comes; never two at a time of one actor.
	say func(line string)

	listens   chan struct{} // closed when the script's first listener is there, or its copies are over
	listening sync.Once

	mu       sync.Mutex
	parts    []part // of the last start
	starting bool
	copies   sync.WaitGroup
	lines    []Line
	errs     []ScriptError
	exits    []Exit
	killed   bool // the end that its parts meet is our doing
}

// A part is one running copy.
type part interface {
	// play runs it to its end; failures are told to the actor.
	play(ctx context.Context)
	// kill ends it as the death of its process.
	kill()
	// vanish ends it without a word on the wire, as far as it can.
	vanish() error
	// idle tells whether it is over, or waits for the network for so long.
	idle(patience time.Duration) bool
}

// A Line is one line that a host's script or program has put out.
type Line struct {
	At     time.Duration `json:"-"`      // in a Result since the client's start, within the lab on the box's clock
	Copy   int           `json:"copy"`   // which one, from 1
	Stream string        `json:"stream"` // script, stdout or stderr
	Text   string        `json:"text"`
}

// A ScriptError is a command that met an error.
type ScriptError struct {
	At       time.Duration `json:"-"` // as that of a Line
	Copy     int           `json:"copy"`
	Name     string        `json:"name"` // ECONNRESET …
	Text     string        `json:"text"` // the command and what came of it
	Expected bool          `json:"expected"`
}

// An Exit is how a copy of a program ended.
type Exit struct {
	At     time.Duration `json:"-"` // as that of a Line
	Copy   int           `json:"copy"`
	Status int           `json:"status"` // as a shell has it: 128 and the number of a signal
	Killed bool          `json:"killed"` // by a step, or at the end
}

func newActor(h *host, spec *hostSpec, conns int, clock func() time.Duration, say func(string)) *actor {
	return &actor{host: h, spec: spec, conns: conns, clock: clock, say: say, listens: make(chan struct{})}
}

// start begins all copies, and returns at once.
func (a *actor) start(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parts, a.killed, a.starting = nil, false, true
	a.copies.Go(func() { a.launch(ctx) })
}

// launch starts one copy after the other, and waits for their ends.
func (a *actor) launch(ctx context.Context) {
	var running sync.WaitGroup
	for n := 1; n <= max(a.spec.copies, 1); n++ {
		if n > 1 && !sleep(ctx, a.spec.stagger) {
			break
		}
		p, ok := a.add(n)
		if !ok {
			break
		}
		running.Go(func() { p.play(ctx) })
	}
	a.mu.Lock()
	a.starting = false
	a.mu.Unlock()
	running.Wait()
	a.isListening()
}

// add makes the n-th copy; not if the actor has been killed meanwhile.
func (a *actor) add(n int) (p part, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.killed {
		return nil, false
	}
	if a.spec.script != nil {
		p = newScriptPart(a, n)
	} else {
		p = newProgram(a, n)
	}
	a.parts = append(a.parts, p)
	return p, true
}

// sleep waits, and tells whether ctx still lives then.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// current are the copies that run, or have run, since the last start.
func (a *actor) current() (parts []part, starting bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.parts, a.starting
}

func (a *actor) dying() []part {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.killed = true
	return a.parts
}

// kill ends all copies as the death of their processes.
func (a *actor) kill() {
	for _, p := range a.dying() {
		p.kill()
	}
}

// gone is closed when every copy has ended, which may take until its sockets are wiped
// away: a close that lingers cannot be stopped.
func (a *actor) gone() <-chan struct{} {
	gone := make(chan struct{})
	go func() { a.copies.Wait(); close(gone) }()
	return gone
}

// vanish ends all copies silently. The caller keeps what programs send off the wire.
func (a *actor) vanish() {
	for _, p := range a.dying() {
		_ = p.vanish() // what is left, the namespace's Destroy takes
	}
}

// idle tells whether nothing more happens here by itself: each copy is over or
// blocked for a while.
func (a *actor) idle(patience time.Duration) bool {
	if a == nil {
		return true
	}
	parts, starting := a.current()
	for _, p := range parts {
		if !p.idle(patience) {
			return false
		}
	}
	return !starting
}

// over tells whether every copy has ended.
func (a *actor) over() bool { return a.idle(never) }

// never is a patience that no wait exhausts.
const never = time.Duration(1<<63 - 1)

func (a *actor) isListening() { a.listening.Do(func() { close(a.listens) }) }

// line keeps a line of output and passes it on.
func (a *actor) line(n int, stream, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.lines) < maxLines {
		a.lines = append(a.lines, Line{a.clock(), n, stream, text})
	}
	name := sideNames[a.host.side]
	if a.spec.copies > 1 {
		name = fmt.Sprintf("%s#%d", name, n)
	}
	a.say(name + ": " + text)
}

// maxLines is how many lines of a host are kept; the others are only shown.
const maxLines = 100_000

func (a *actor) failed(e ScriptError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.At = a.clock()
	a.errs = append(a.errs, e)
}

func (a *actor) exited(n, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.exits = append(a.exits, Exit{a.clock(), n, status, a.killed})
}

// told is what the actor has met so far. The slices only grow.
func (a *actor) told() (lines []Line, errs []ScriptError, exits []Exit) {
	if a == nil {
		return nil, nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lines, a.errs, a.exits
}

// resolve finds the address of a host by the name that scripts use.
func (h *host) resolve(name string) (netip.Addr, error) {
	i, err := side(name)
	if err != nil {
		return netip.Addr{}, err
	}
	return h.addr[i], nil
}
