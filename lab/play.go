package lab

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

const (
	pollEvery = 5 * time.Millisecond
	// patience is how long a script must be blocked to count as having come to rest.
	patience = 500 * time.Millisecond
	// quietness is how long no segment may have moved at the end: beyond the
	// tolerance of the comparison, so that the last state is compared too.
	quietness = 150 * time.Millisecond
	// restfulness is how long nothing may have happened to be held for done.
	restfulness = 2 * time.Second
)

// play starts both hosts, and goes from moment to moment until the end has come.
func (r *run) play(parent context.Context) error {
	ctx, cancel := context.WithTimeout(parent, r.opts.Timeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	r.start(serverSide)
	started := false
	for {
		select {
		case err := <-r.engineDone:
			r.stopEngine() // it has stopped by itself, its device has failed
			r.stopEngine = nil
			return fmt.Errorf("the box has ended: %w", err)
		case <-ctx.Done():
			return r.end(started, parent.Err() != nil)
		case <-tick.C:
		}
		m, err := r.look(false)
		if err != nil {
			return err
		}
		if !started {
			if started = r.serverReady(m.sample); started {
				r.begin()
				r.start(clientSide)
			}
			continue
		}
		r.judge(m)
		if err := r.step(ctx, m); err != nil {
			return err
		}
		if r.decided(m) {
			return r.end(true, false)
		}
	}
}

// start starts a host's script or program, if it has one.
func (r *run) start(side int) {
	if a := r.actors[side]; a != nil {
		a.start(r.actorsCtx)
	}
}

// begin makes this moment the one that times count from.
func (r *run) begin() {
	r.began = r.engine.Since()
	r.observer.begin(r.began)
	r.explain.begin(r.began)
}

// serverReady tells whether the client may start: the server's script listens, if it
// does at all, or the port that its program must open.
func (r *run) serverReady(s *sample) bool {
	spec, a := r.file.hosts[serverSide], r.actors[serverSide]
	switch {
	case spec == nil:
		return true
	case spec.ready != 0 && !s.listen[serverSide][spec.ready]:
		if !a.over() {
			return false
		}
		if !r.expectsExit(serverSide) {
			r.problem("the server has ended before it listened at port %d", spec.ready)
		}
	case spec.listens():
		select {
		case <-a.listens:
		default:
			return false
		}
	}
	return true
}

// look takes a sample, compares it with what is inferred, and makes a moment of it.
func (r *run) look(last bool) (*moment, error) {
	s, err := r.sample()
	if err != nil {
		return nil, err
	}
	r.observer.flush() // an error comes back at the end
	m := &moment{at: s.at - r.began, start: r.began, sample: s, actors: r.actors, steps: r.steps, fired: r.fired, last: last}
	r.repose(m)
	return m, nil
}

// sample takes a sample and compares it with what is inferred.
func (r *run) sample() (*sample, error) {
	r.observer.view(func(t tuple, _ *inference) { r.poller.meet(t) })
	s, err := r.poller.poll()
	if err != nil || !r.compare.compare(s, r.observer) {
		return s, err
	}
	for side := range r.hosts {
		r.drain(context.Background(), side) // milliseconds
	}
	if s, err = r.poller.poll(); err != nil {
		return nil, err
	}
	var counts [2]counters
	for side, h := range r.hosts {
		if counts[side], err = countersOf(h.ns); err != nil {
			return nil, err
		}
	}
	r.compare.confirm(s, r.observer, counts)
	return s, nil
}

// repose says in how far a moment is the last in which something has happened.
func (r *run) repose(m *moment) {
	if !r.quiet(m.sample) {
		return
	}
	m.rest, m.still = true, !m.sample.running
	if len(r.steps) > 0 && r.steps[0].mayCome(m) {
		m.rest, m.still = false, false
	}
}

// quiet tells whether nothing has happened by itself for so long that nothing will. A look
// that finds no timer running may have come just as one ran out, and what it has sent may
// not be read yet: so all looks of that time have to agree.
func (r *run) quiet(s *sample) bool {
	now := r.engine.Since()
	if r.lively(s) {
		r.stirred = now
	}
	return now-r.stirred >= restfulness
}

// lively tells whether something happens by itself, or will: a script is at work or asleep, a
// program runs, a timer will send, packets have come, the box holds some, or a rule has a
// moment to come.
func (r *run) lively(s *sample) bool {
	if s.ticking {
		return true
	}
	for _, a := range r.actors {
		// What a program will do by itself nobody knows; a script has said it.
		if !a.idle(0) || a != nil && a.spec.run != nil && !a.over() {
			return true
		}
	}
	box := r.engine.Stats()
	heard := box.Packets != r.heard
	r.heard = box.Packets
	return heard || box.Waiting > 0 || box.Moments > 0 || r.mayConclude()
}

// mayConclude tells whether a rule waits for the box to conclude that an endpoint is
// CLOSED, which it does later than the kernel where no segment has told of it.
func (r *run) mayConclude() bool {
	waits := func(rule *rules.Rule) bool {
		return rule.At != nil && rule.At.State.Has(conntrack.Closed) && r.fired(rule.Name) == 0
	}
	return r.compare.silent() && slices.ContainsFunc(r.file.Rules.Rules, waits)
}

// fired asks the box how often a rule has fired.
func (r *run) fired(name string) uint64 {
	for _, rep := range r.engine.Report() {
		if rep.Name == name {
			return rep.Fired
		}
	}
	return 0
}

// judge asks every check that is not done.
func (r *run) judge(m *moment) {
	for i := range r.judged {
		j := &r.judged[i]
		f, done := j.look(m)
		if !done {
			continue
		}
		if f.tuple != nil && r.talked == nil {
			t := *f.tuple
			r.talked = &t
		}
		r.observer.decided(m.sample.at, &j.Expectation)
	}
}

// decided tells whether nothing is left to wait for. Who waits for what is on a slow link
// makes progress.
func (r *run) decided(m *moment) bool {
	if len(r.steps) > 0 && !m.rest || anyOpen(r.judged) {
		return false
	}
	for _, a := range r.actors {
		if !a.idle(patience) {
			return false
		}
	}
	if slices.ContainsFunc(reports(r.engine.Report()), r.owes) && !m.rest {
		return false
	}
	// The box has been asked by now, and has let go what was due, though it may have woken late.
	return r.engine.Since()-r.observer.quietSince() > quietness+r.file.Link.crossing(r.file.MTU)
}

// end judges what is open for the last time. What is undecided at an interruption stays so,
// and so does everything where no time has begun to count.
func (r *run) end(started, interrupted bool) error {
	r.interrupted = interrupted
	if !started && !interrupted {
		r.problem("the server was not ready within %v", r.opts.Timeout)
	}
	m, err := r.look(!interrupted)
	if err == nil && (started || !interrupted) {
		r.judge(m)
	}
	return err
}

func (r *run) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// settle stops the box and says what came of it all. An OutputError stands beside the result.
func (r *run) settle() (*Result, error) {
	took := r.engine.Since()
	if err := r.haltEngine(); err != nil {
		return nil, err
	}
	r.observer.begin(r.began) // if the client was never started
	r.explain.begin(r.began)
	drops, err := r.engine.RingDrops()
	if err != nil {
		return nil, err
	}
	unwritten := outputError(about("events", r.observer.flush()), about("explain", r.explain.flush()), r.closeCapture())
	res := &Result{
		File: r.file.Path, Title: r.file.Title, IP: r.ip, Offload: r.hosts[0].dev.Offload(), Seed: r.seed,
		Workers: r.engine.Workers(), Steering: r.engine.Steering(), asked: r.opts.workers(),
		Interrupted: r.interrupted, Duration: took - r.began,
		Rules: reports(r.engine.Report()), Agreement: r.compare.result(r.began),
		Client: r.actors[clientSide].told(r.began), Server: r.actors[serverSide].told(r.began), Steps: r.done,
		Stats: r.engine.Stats(), RingDrops: drops,
		talked: r.talked, listened: r.poller.listened,
	}
	res.Events, res.UnkeptEvents = r.observer.recorded()
	r.verdict(res)
	return res, unwritten
}

// closeCapture finishes the capture, if there is one.
func (r *run) closeCapture() error {
	c := r.capture
	if r.capture = nil; c == nil {
		return nil
	}
	return c.Close()
}

// about says of an error what it is about; nil stays nil.
func about(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// reports leaves out the rules that the base path is made of.
func reports(all []engine.RuleReport) []engine.RuleReport {
	return slices.DeleteFunc(all, func(rep engine.RuleReport) bool { return isLinkRule(rep.Name) })
}
