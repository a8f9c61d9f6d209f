package engine_test

import (
	"testing"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A rule that is taken out of force leaves nothing behind. Each row is an action, and what
// passes again once its rule is gone: what the client has sent, or what was kept.
func TestGoneRulesLeaveNothing(t *testing.T) {
	for _, row := range []struct {
		action       string
		before, gone int // packets that reach the server, of what the client sends then, and what is let go
	}{
		{`{ blackhole = "client" }`, 0, 1},
		{`{ forget = "drop" }`, 1, 1},
		{`{ hold = "release" }`, 0, 2},
		{`{ duplicate = { after = "1s" } }`, 1, 1},
	} {
		t.Run(row.action, func(t *testing.T) {
			w := newWorld(engine.BoxConfig{Rules: mustParse(t, "[[rule]]\nmatch = { segment = \"data\" }\nnth = 1\naction = "+row.action)})
			w.send(handshake(0)...)
			w.left = nil
			w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10})
			if len(w.left) != row.before {
				t.Errorf("%d packets left, want %d", len(w.left), row.before)
			}
			w.left = nil
			w.SetRules(w.now, nil)
			w.send(segment{from: client, flags: wire.ACK, seq: 11, ack: 1, size: 10})
			if len(w.left) != row.gone {
				t.Errorf("%d packets left without the rule, want %d", len(w.left), row.gone)
			}
			if s := w.Stats(); s.Waiting != 0 {
				t.Errorf("%d segments wait still", s.Waiting)
			}
		})
	}
}

// The RSTs of an endpoint that a rule has killed in secret are its own again.
func TestGoneRulesHideNothing(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, "[[rule]]\nmatch = { segment = \"data\" }\naction = { reset = { to = \"server\", hide = true } }")})
	w.send(handshake(0)...)
	w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10})
	w.left = nil
	rst := segment{from: server, flags: wire.RST, seq: 1}
	w.send(rst)
	if len(w.left) != 0 {
		t.Error("the RST passed")
	}
	w.SetRules(w.now, nil)
	w.send(rst)
	if len(w.left) != 1 {
		t.Error("the RST did not pass without the rule")
	}
}
