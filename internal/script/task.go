package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// A task is one walk through commands: the script itself, or the rest of it
// for one accepted connection. One goroutine runs it.
type task struct {
	r        *Runner
	conn     int       // ordinal of the served connection; 0: the script itself
	open     []*socket // in the order they were made
	defaults []setting // for each socket to be made

	mu     sync.Mutex
	status Status
}

func (r *Runner) newTask(conn int) *task {
	t := &task{r: r, conn: conn, status: Status{Conn: conn}}
	t.phase(Running)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tasks = append(r.tasks, t)
	return t
}

// run does commands until one fails, and then is finished.
func (t *task) run(ctx context.Context, commands []command) error {
	err := t.all(ctx, commands)
	t.finish(err)
	return err
}

func (t *task) all(ctx context.Context, commands []command) error {
	for _, c := range commands {
		if err := t.do(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// do does one command and tells what came of it. An error that it was to meet
// is none.
func (t *task) do(ctx context.Context, c command) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t.begin(c)
	result, err := c.step.run(ctx, t)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // whatever it met, it was stopped
	}
	t.phase(Running)
	f := c.judge(err)
	t.report(c, result, f)
	if f == nil || f.Expected {
		return nil
	}
	return f
}

// report passes on the outcome: one line, and the failure if there is one.
func (t *task) report(c command, result string, f *Failure) {
	line := c.text
	if t.conn > 0 {
		line = fmt.Sprintf("#%d %s", t.conn, line)
	}
	if f != nil {
		f.Conn = t.conn
		result = f.outcome()
	}
	if result != "" {
		line += ": " + result
	}
	t.r.output(line)
	if f != nil {
		t.r.onError(*f)
	}
}

// latest is the socket that a command means.
func (t *task) latest(k kind) (*socket, error) {
	for _, s := range slices.Backward(t.open) {
		if k == either || s.kind == k {
			return s, nil
		}
	}
	return nil, unix.EBADF // only where a served connection's script closes too often
}

// newSocket makes a socket with the options set so far.
func (t *task) newSocket(v6 bool, k kind) (*socket, error) {
	s, err := t.r.newSocket(v6, k)
	if err != nil {
		return nil, err
	}
	t.open = append(t.open, s)
	if err := s.apply(append([]setting{preferCubic}, t.defaults...)); err != nil {
		return nil, t.discard(s, err)
	}
	return s, nil
}

// own takes an accepted connection among the open ones.
func (t *task) own(s *socket) error {
	if err := t.r.own(s); err != nil {
		return err
	}
	t.open = append(t.open, s)
	return nil
}

// remove takes a socket out of the task's and the Runner's hands, to be closed.
func (t *task) remove(s *socket) {
	t.open = slices.DeleteFunc(t.open, func(o *socket) bool { return o == s })
	t.r.disown(s)
}

// discard closes a socket that came to nothing, unless the run was stopped:
// then it stays for Kill, in the state that it had.
func (t *task) discard(s *socket, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	t.remove(s)
	s.file.Close()
	return err
}
