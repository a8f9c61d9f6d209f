package lab

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/script"
)

// A scriptPart is one copy of a script.
type scriptPart struct {
	actor  *actor
	runner *script.Runner
	over   atomic.Bool
}

func newScriptPart(a *actor, n int) *scriptPart {
	p := &scriptPart{actor: a}
	p.runner = &script.Runner{
		Enter:   a.host.ns.Do,
		Resolve: a.host.resolve,
		V6:      a.host.addr[0].Is6(),
		Output:  func(line string) { a.line(n, "script", line) },
		OnError: func(f script.Failure) {
			a.failed(ScriptError{Copy: n, Name: f.Name, Text: f.Error(), Expected: f.Expected})
		},
		OnSocket: func(_, remote netip.AddrPort) {
			if !remote.IsValid() {
				a.isListening()
			}
		},
	}
	return p
}

func (p *scriptPart) play(ctx context.Context) {
	defer p.over.Store(true)
	s := p.actor.spec.script
	var err error
	if p.actor.spec.listens() {
		err = p.runner.RunServer(ctx, s, p.actor.conns)
	} else {
		err = p.runner.Run(ctx, s)
	}
	_, told := errors.AsType[*script.Failure](err)
	if err == nil || told || ctx.Err() != nil || errors.Is(err, script.ErrKilled) {
		return
	}
	p.actor.failed(ScriptError{Name: script.Other, Text: err.Error()})
}

func (p *scriptPart) kill()         { p.runner.Kill() }
func (p *scriptPart) vanish() error { return p.runner.Vanish() }

func (p *scriptPart) idle(patience time.Duration) bool {
	if p.over.Load() {
		return true
	}
	all := p.runner.Progress()
	for _, s := range all {
		blocked := s.Phase == script.Blocked && time.Since(s.Since) >= patience
		if !blocked && s.Phase != script.Finished {
			return false
		}
	}
	return len(all) > 0
}
