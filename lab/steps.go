package lab

import (
	"context"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
)

// step does the steps whose time has come, in their order. Once sockets have been taken
// away the sample says no more what there is: steps on states wait for the next one.
func (r *run) step(ctx context.Context, m *moment) error {
	old := false
	for len(r.steps) > 0 && r.steps[0].due(m) {
		s := r.steps[0]
		if old && s.want != (pair{}) {
			break
		}
		old = old || s.isDeath()
		r.steps = r.steps[1:]
		r.say("lab: " + s.text)
		r.done = append(r.done, Step{s.text, r.engine.Since() - r.began})
		if err := r.do(ctx, s); err != nil {
			return err
		}
		r.stirred = r.engine.Since()
	}
	return nil
}

func (s *step) due(m *moment) bool {
	switch {
	case s.rule != "":
		return m.fired(s.rule) > 0
	case s.want != pair{}:
		return s.want.holds(m.sample)
	}
	return m.at >= s.at
}

// mayCome tells whether a step is to be waited for where nothing happens by itself: its time
// is known, it is due, or a state may run out of time and bring it about.
func (s *step) mayCome(m *moment) bool {
	switch {
	case s.rule != "":
		return m.fired(s.rule) > 0
	case s.want != pair{}:
		return !m.still || s.want.holds(m.sample)
	}
	return true
}

// isDeath tells whether the step ends processes, and their sockets with them.
func (s *step) isDeath() bool { return s.do == "kill" || s.do == "restart" || s.do == "destroy" }

func (r *run) do(ctx context.Context, s *step) error {
	switch s.do {
	case "kill":
		r.kill(ctx, s.side)
	case "restart":
		r.kill(ctx, s.side)
		if ctx.Err() == nil {
			r.start(s.side)
		}
	case "destroy":
		return r.destroy(ctx, s.side)
	case "enable", "disable":
		return r.engine.Call(func(b *engine.Box, _ time.Duration) { b.Enable(s.what, s.do == "enable") })
	case "release":
		return r.engine.Call(func(b *engine.Box, now time.Duration) { b.Release(now, s.what) })
	case "heal":
		return r.engine.Call(func(b *engine.Box, now time.Duration) { b.Heal(now) })
	}
	return nil
}

// kill waits until the processes are dead: their sockets are the kernel's alone then.
func (r *run) kill(ctx context.Context, side int) {
	r.actors[side].kill()
	select {
	case <-r.actors[side].gone():
	case <-ctx.Done():
	}
}

// destroy takes all sockets of a host away as a power loss does: nothing is sent.
// What its kernel has to say when it loses them is lost between it and the box.
func (r *run) destroy(ctx context.Context, side int) error {
	if err := r.mute(side, true); err != nil {
		return err
	}
	if a := r.actors[side]; a != nil {
		a.vanish()
		r.hosts[side].wipeUntil(a.gone())
	}
	for r.hosts[side].wipe() > 0 && sleep(ctx, time.Millisecond) {
	}
	r.drain(ctx, side)
	r.compare.gone(r.engine.Since(), side, r.observer)
	return r.mute(side, false)
}

func (r *run) mute(side int, on bool) error {
	return r.engine.Call(func(b *engine.Box, _ time.Duration) { b.Mute(side, on) })
}

// drain waits until the box has read all that is under way from a host: twice in a
// row nothing new has come. The worker reads until it is dry between two calls.
func (r *run) drain(ctx context.Context, side int) {
	seen := r.engine.Stats().Packets[side]
	for still := 0; still < 2 && sleep(ctx, 2*time.Millisecond); {
		now := r.engine.Stats().Packets[side]
		if still++; now != seen {
			seen, still = now, 0
		}
	}
}
