package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
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
	// wanted are the expectations of its output.
	wanted []*outputSpec

	listens   chan struct{} // closed when the script's first listener is there, or its copies are over
	listening sync.Once

	mu       sync.Mutex
	parts    []part // of the last start
	starting bool
	copies   sync.WaitGroup
	output   output
	met      map[*outputSpec]Line // the first line that each of wanted has met
	said     map[int]string       // the last line on standard error, by copies that have not ended
	errs     []ScriptError
	exits    []Exit
	before   int  // how many of these were there at the last start
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
	said   string        // its last line on standard error
}

// words are what it said, as a remark on its end.
func (e *Exit) words() string {
	if e.said == "" {
		return ""
	}
	return fmt.Sprintf(", saying %.200q", e.said)
}

func newActor(h *host, spec *hostSpec, conns int, clock func() time.Duration, say func(string)) *actor {
	return &actor{
		host: h, spec: spec, conns: conns, clock: clock, say: say, listens: make(chan struct{}),
		met: make(map[*outputSpec]Line), said: make(map[int]string),
	}
}

// start begins all copies, and returns at once.
func (a *actor) start(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parts, a.killed, a.starting, a.before = nil, false, true, len(a.exits)
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

// line holds a line of output against what is wanted, keeps it and passes it on.
func (a *actor) line(n int, stream, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := Line{a.clock(), n, stream, text}
	for _, s := range a.wanted {
		if _, met := a.met[s]; !met && s.matches(&l) {
			a.met[s] = l
		}
	}
	if stream == "stderr" {
		a.said[n] = text
	}
	a.output.keep(l)
	name := sideNames[a.host.side]
	if a.spec.copies > 1 {
		name = fmt.Sprintf("%s#%d", name, n)
	}
	a.say(name + ": " + text)
}

// What is kept of a host's output, for the result: the first lines, up to so many of them, and
// so many bytes.
const (
	maxLines  = 100_000
	maxOutput = 16 << 20
)

// An output is what is kept.
type output struct {
	lines  []Line
	bytes  int
	unkept int // lines
}

func (o *output) keep(l Line) {
	o.bytes += len(l.Text)
	if o.unkept > 0 || len(o.lines) == maxLines || o.bytes > maxOutput {
		o.unkept++
		return
	}
	o.lines = append(o.lines, l)
}

// meets is the first line that an expectation of wanted has met, if there was one.
func (a *actor) meets(s *outputSpec) (l Line, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l, ok = a.met[s]
	return l, ok
}

func (a *actor) failed(e ScriptError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.At = a.clock()
	a.errs = append(a.errs, e)
}

func (a *actor) exited(n, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.exits = append(a.exits, Exit{a.clock(), n, status, a.killed, a.said[n]})
	delete(a.said, n)
}

// failures are the errors that its commands have met so far. The slice only grows.
func (a *actor) failures() []ScriptError {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.errs
}

// ends are those of its copies since the last start. The slice only grows.
func (a *actor) ends() []Exit {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.exits[a.before:]
}

// told is all that it has put out and met, its times from zero.
func (a *actor) told(zero time.Duration) (s Side) {
	if a == nil {
		return s
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s = Side{slices.Clone(a.output.lines), a.output.unkept, slices.Clone(a.errs), slices.Clone(a.exits)}
	for i := range s.Output {
		s.Output[i].At -= zero
	}
	for i := range s.Errors {
		s.Errors[i].At -= zero
	}
	for i := range s.Exits {
		s.Exits[i].At -= zero
	}
	return s
}

// resolve finds the address of a host by the name that scripts use.
func (h *host) resolve(name string) (netip.Addr, error) {
	i, err := side(name)
	if err != nil {
		return netip.Addr{}, err
	}
	return h.addr[i], nil
}
