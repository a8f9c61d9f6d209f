package control

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

const (
	// lookEvery is how often a condition is looked at.
	lookEvery = 10 * time.Millisecond
	maxWithin = time.Hour
)

// wait answers as soon as a condition holds, or when its time is over.
func (s *Server) wait(w http.ResponseWriter, r *http.Request) error {
	var c client.Condition
	if err := readJSON(w, r, &c); err != nil {
		return err
	}
	within := cmp.Or(time.Duration(c.Within), client.DefaultWithin)
	if within < 0 || within > maxWithin {
		return refuse(http.StatusBadRequest, "within: %v is not between 0s and %v", c.Within, maxWithin)
	}
	look, err := s.condition(&c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	out, err := await(ctx, look)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, out)
}

// A look is what a condition's look at the engine has seen.
type look func() (met bool, seen uint64, why string, err error)

// await looks again and again, until the condition holds or ctx ends.
func await(ctx context.Context, look look) (*client.Wait, error) {
	start := time.Now()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		met, seen, why, err := look()
		if err != nil {
			return nil, err
		}
		out := &client.Wait{Met: met, Seen: seen, Took: client.Duration(time.Since(start))}
		if met {
			return out, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			out.Why = why
			return out, nil
		}
	}
}

// condition makes a condition ready.
func (s *Server) condition(c *client.Condition) (look, error) {
	aboutConns := c.Connections != "" || c.Filter != client.Filter{}
	switch {
	case c.Rule != "" && aboutConns:
		return nil, refuse(http.StatusBadRequest, "one condition is about a rule or about connections, not both")
	case c.Fired != "" && c.Rule == "":
		return nil, refuse(http.StatusBadRequest, "fired goes with rule")
	case c.Rule != "":
		return s.fired(c)
	case aboutConns:
		return s.connected(c)
	}
	return nil, refuse(http.StatusBadRequest, "the condition says nothing; it needs rule, or connections and what selects them")
}

// fired is that a rule has fired so often.
func (s *Server) fired(c *client.Condition) (look, error) {
	want, err := readCount("fired", c.Fired)
	if err != nil {
		return nil, err
	}
	return func() (bool, uint64, string, error) {
		for _, rep := range s.cfg.Engine.Report() {
			if rep.Name == c.Rule {
				return want.Match(int64(rep.Fired)), rep.Fired, firedWords(rep, want), nil
			}
		}
		return false, 0, "", noRule(c.Rule)
	}, nil
}

func firedWords(rep engine.RuleReport, want rules.Ranges) string {
	if rep.Fired == 0 {
		return fmt.Sprintf("rule %q never fired; %s", rep.Name, rep.WhyNot)
	}
	return fmt.Sprintf("rule %q fired %d, want %v", rep.Name, rep.Fired, want)
}

// connected is that there are so many connections.
func (s *Server) connected(c *client.Condition) (look, error) {
	want, err := readCount("connections", c.Connections)
	if err != nil {
		return nil, err
	}
	q, err := newSelection(c.Filter)
	if err != nil {
		return nil, err
	}
	return func() (bool, uint64, string, error) {
		views, err := s.cfg.Engine.Conns(q.selects)
		n := len(views)
		return want.Match(int64(n)), uint64(n), fmt.Sprintf("there are %d such connections, want %v", n, want), err
	}, nil
}

// readCount reads a number as ">= 2".
func readCount(key, text string) (rules.Ranges, error) {
	ranges, err := rules.ParseRanges(cmp.Or(text, ">=1"))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%s: %v", key, err)
	}
	return ranges, nil
}
