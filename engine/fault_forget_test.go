package engine_test

import (
	"testing"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

const forgetful = `
[[rule]]
name = "expire"
match = { segment = "data" }
action = { forget = "rst" }
`

// What a rule has made the box forget stays forgotten when other rules come, and
// those after it, too, act in the name of the rule that stands there now.
func TestReloadKeepsForgotten(t *testing.T) {
	var rec engine.Recorder
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, forgetful), OnEvent: rec.Record})
	w.send(handshake(0)...)
	w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10})
	w.SetRules(w.now, mustParse(t, candidates(1)+forgetful))
	w.left = nil
	w.send(segment{from: server, flags: wire.ACK, seq: 1, ack: 11})
	if len(w.left) != 1 || w.left[0].side != server {
		t.Fatalf("%d left, want the RST alone", len(w.left))
	}
	events := rec.Events()
	last := events[len(events)-1]
	if last.Verdict != engine.Forged || len(last.Rules) != 1 || last.Rules[0] != "expire" {
		t.Errorf("the last event is %+v, want the forged RST by the rule", last)
	}
	if report := w.Report(); report[1].Name != "expire" || report[1].Fired != 1 {
		t.Errorf("%+v", report)
	}
}
