package script

import "time"

// A Phase is what a script is doing.
type Phase uint8

// The phases of a script.
const (
	_        Phase = iota
	Running        // between two system calls
	Blocked        // a command waits: for its peer, for room, for a connection
	Sleeping       // in a sleep
	Finished       // its last command has ended, or failed
)

// String is the phase in one lower-case word.
func (p Phase) String() string {
	switch p {
	case Running:
		return "running"
	case Blocked:
		return "blocked"
	case Sleeping:
		return "sleeping"
	case Finished:
		return "finished"
	}
	return "unknown"
}

// A Status is what one script, or the part of it that serves one connection,
// is doing.
type Status struct {
	Conn    int // of RunServer: which connection, from 1; 0: the script itself
	Phase   Phase
	Line    int       // of the command, from 1; 0: none yet
	Command string    // the one it is at; of a finished script the last
	Since   time.Time // it has been in this phase; Blocked counts from the last byte that moved
	Until   time.Time // of Sleeping: its end
	Err     error     // of Finished: what Run returns
}

// Progress tells what the script is doing now, and with RunServer what each
// connection's part does, in the order they were accepted. Nothing more
// happens by itself when all are finished or blocked; whether the peer or a
// timer of the kernel will unblock one, Progress cannot know.
func (r *Runner) Progress() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Status, len(r.tasks))
	for i, t := range r.tasks {
		all[i] = t.now()
	}
	return all
}

func (t *task) now() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status
}

func (t *task) update(f func(s *Status)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.Since = time.Now()
	f(&t.status)
}

func (t *task) phase(p Phase) {
	t.update(func(s *Status) { s.Phase, s.Until = p, time.Time{} })
}

func (t *task) blocked() { t.phase(Blocked) }

func (t *task) begin(c command) {
	t.update(func(s *Status) { s.Phase, s.Line, s.Command = Running, c.line, c.text })
}

func (t *task) finish(err error) {
	t.update(func(s *Status) { s.Phase, s.Until, s.Err = Finished, time.Time{}, err })
}
