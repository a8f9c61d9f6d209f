package script

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// RunServer runs a script that serves conns connections, or as many as come
// until ctx ends if conns is 0. What stands before accept is done once, and the
// rest once for each connection, side by side. Such a script has one accept.
//
// With conns 1, or without accept, the script runs from its first line to its
// last, as with Run, and may accept as often as it likes.
//
// A failure ends the part that met it and nothing else. The error joins all
// failures, and the cause that ended ctx, or ErrKilled, if one did.
func (r *Runner) RunServer(ctx context.Context, s *Script, conns int) error {
	at := slices.IndexFunc(s.commands, accepts)
	if conns == 1 || at < 0 {
		return r.Run(ctx, s)
	}
	if e := s.CannotServe(); e != nil {
		return fmt.Errorf("line %d: %s", e.Line, e.Msg)
	}
	before, accept, rest := s.commands[:at], s.commands[at], s.commands[at+1:]
	return r.supervise(ctx, func(ctx context.Context) error {
		return r.serve(ctx, before, accept, rest, conns)
	})
}

// CannotServe is the mistake that keeps a script from serving several connections; nil
// if there is none.
func (s *Script) CannotServe() *Error {
	found := 0
	for _, c := range s.commands {
		if !accepts(c) {
			continue
		}
		if found++; found > 1 || c.expect != nil {
			return &Error{Line: c.line, Col: c.verb.col, Len: len(c.verb.text),
				Msg: "a script that serves several connections has one accept, and expects no error of it"}
		}
	}
	return nil
}

func accepts(c command) bool { _, ok := c.step.(acceptStep); return ok }

// serve is RunServer for several connections.
func (r *Runner) serve(ctx context.Context, before []command, accept command, rest []command, conns int) error {
	main := r.newTask(0)
	var parts failures
	var wg sync.WaitGroup
	err := main.all(ctx, before)
	for n := 1; err == nil && (conns <= 0 || n <= conns); n++ {
		if err = main.do(ctx, accept); err != nil {
			break
		}
		t := main.handOver(n)
		wg.Go(func() { parts.add(t.run(ctx, rest)) })
	}
	main.finish(err)
	wg.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	return errors.Join(append([]error{err}, parts.all...)...)
}

// handOver gives the connection just accepted to a task of its own.
func (t *task) handOver(n int) *task {
	last := len(t.open) - 1
	c := t.r.newTask(n)
	c.open = []*socket{t.open[last]}
	c.defaults = slices.Clone(t.defaults)
	t.open = t.open[:last]
	return c
}

// failures collects what went wrong in the parts of a script. The end of the
// context is nobody's failure.
type failures struct {
	mu  sync.Mutex
	all []error
}

func (f *failures) add(err error) {
	if _, ok := errors.AsType[*Failure](err); !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, err)
}
