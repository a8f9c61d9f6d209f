package control

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

const (
	maxWithin = time.Hour
	maxWaits  = 256
)

// A vigil is a wait for one condition. It looks at the engine once, and then hears of what
// happens, so that a state of a microsecond is not missed. Only what no event tells of, it
// looks for now and then.
type vigil interface {
	// hear is told of an event by the worker that it happened on, between begin and the end.
	hear(e *engine.Event)
	// begin looks at the engine, once hear is called.
	begin() error
	// look judges what has happened until now.
	look(now time.Duration) error
	// next is when to look again if nothing wakes before.
	next(now time.Duration) time.Duration
	// state is what is known, guarded by its lock.
	state(f func(*spells))
	// woken has an element if there is something to look at.
	woken() <-chan struct{}
	// tell fills in the answer.
	tell(w *client.Wait)
}

// wait answers as soon as a condition holds, or when its time is over.
func (s *Server) wait(w http.ResponseWriter, r *http.Request) error {
	var c client.Condition
	if err := readJSON(w, r, &c); err != nil {
		return err
	}
	within, err := readSpan("within", c.Within)
	if err != nil {
		return err
	}
	lasts, err := readSpan("lasts", c.Lasts)
	if err != nil {
		return err
	}
	start := s.cfg.Engine.Since()
	v, err := s.vigil(&c, newSpells(lasts, start+cmp.Or(within, client.DefaultWithin)))
	if err != nil {
		return err
	}
	defer s.hub.dismiss(v) // also if the engine has stopped
	if err := s.hub.attend(v); err != nil {
		return err
	}
	ctx, cancel := s.during(r)
	defer cancel()
	if err := s.watch(ctx, v); err != nil {
		return err
	}
	out := &client.Wait{Took: client.Duration(s.cfg.Engine.Since() - start)}
	v.state(func(known *spells) {
		if out.Met = known.met; out.Met {
			out.At = client.Duration(known.at)
		} else {
			out.Longest = client.Duration(known.longest)
		}
	})
	v.tell(out)
	return answer(w, http.StatusOK, out)
}

// watch keeps a vigil until its condition is met or cannot be met. If ctx ends before, the error is its cause.
func (s *Server) watch(ctx context.Context, v vigil) error {
	if err := v.begin(); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := s.cfg.Engine.Since()
		if err := v.look(now); err != nil {
			return err
		}
		var decided bool
		v.state(func(known *spells) { decided = known.met || known.over() })
		if decided {
			return nil
		}
		timer.Reset(v.next(now) - s.cfg.Engine.Since())
		select {
		case <-v.woken():
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx) // and no verdict
		}
	}
}

// vigil makes a condition ready.
func (s *Server) vigil(c *client.Condition, known spells) (vigil, error) {
	aboutConns := c.Connections != "" || c.Filter != client.Filter{}
	switch {
	case c.Rule != "" && aboutConns:
		return nil, refuse(http.StatusBadRequest, "one condition is about a rule or about connections, not both")
	case c.Fired != "" && c.Rule == "":
		return nil, refuse(http.StatusBadRequest, "fired goes with rule")
	case c.Rule != "":
		return newRuleVigil(s.cfg.Engine, c, known)
	case aboutConns:
		return newConnVigil(s.cfg.Engine, c, known)
	}
	return nil, refuse(http.StatusBadRequest, "the condition says nothing; it needs rule, or connections and what selects them")
}

// readSpan reads a time that a wait may take.
func readSpan(key string, d client.Duration) (time.Duration, error) {
	if span := time.Duration(d); span >= 0 && span <= maxWithin {
		return span, nil
	}
	return 0, refuse(http.StatusBadRequest, "%s: %v is not between 0s and %v", key, d, maxWithin)
}

// readCount reads a number as ">= 2".
func readCount(key, text string) (rules.Ranges, error) {
	ranges, err := rules.ParseRanges(cmp.Or(text, ">=1"))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%s: %v", key, err)
	}
	return ranges, nil
}
