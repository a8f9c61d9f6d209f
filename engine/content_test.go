package engine_test

import (
	"testing"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// Positions go on where sequence numbers begin anew, also for what is sent again, and
// while no rule looks.
func TestOffsetBeyondFourGiB(t *testing.T) {
	const gib = 1 << 30
	var dropped []int // the how manieth segment
	n := 0
	w := newWorld(engine.BoxConfig{
		Rules: mustParse(t, `
			[[rule]]
			name = "fifth"
			match = { from = "client", offset = "contains 5368709125" } # 5 GiB and 5
			action = "drop"`),
		OnEvent: func(e *engine.Event) {
			if e.Type == engine.EventSegment && e.Len > 0 {
				if e.Verdict == engine.Drop {
					dropped = append(dropped, n)
				}
				n++
			}
		},
	})
	w.send(handshake(0)...)
	at := func(giga int) segment {
		return segment{from: client, flags: wire.ACK, seq: uint32(1 + giga*gib), ack: 1, size: 10}
	}
	for _, giga := range []int{0, 1, 2, 3, 4, 5, 6, 5, 7, 8, 9} { // 1 and 9 have the same numbers as 5
		w.send(at(giga))
	}
	if len(dropped) != 2 || dropped[0] != 5 || dropped[1] != 7 {
		t.Errorf("segments %v are dropped, want 5 and 7", dropped)
	}
}

// What a rule wants to find in a segment stands in the answer why it never fired.
func TestNearMissOfContent(t *testing.T) {
	for _, row := range []struct{ match, want string }{
		{`option = "sack"`, "closest: 4 segments got as far as option = sack, the last one had none"},
		{`offset = ">=4096"`, "closest: 4 segments got as far as offset = >=4096, the last one had 0"},
		{`payload = "^GET"`, `closest: 4 segments got as far as payload = "^GET", the last one had "\x01\b\x0f\x16\x1d$+"...`},
		{`segment = "syn", payload_hex = "16 03"`, "closest: 1 segment got as far as payload_hex = 16 03, the last one had no payload"},
	} {
		w := newWorld(engine.BoxConfig{Rules: mustParse(t, "[[rule]]\nmatch = { "+row.match+" }\naction = \"drop\"\n")})
		w.send(handshake(0)...)
		w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 100})
		if got := w.Report()[0].WhyNot; got != row.want {
			t.Errorf("%s: got %s\nwant %s", row.match, got, row.want)
		}
	}
}

// Rules that ask for content are the same rules in a text that says the same.
func TestContentSurvivesReload(t *testing.T) {
	const text = `
		[[rule]]
		match = { payload = ["^[a-z]+", "[^q]"], payload_hex = "01 08", offset = ["contains 9", ">=0"], segment = "data" }
		nth = 2
		action = "drop"`
	set := func(title string) string { return "title = \"" + title + "\"" + text }
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, set("a"))})
	w.send(handshake(0)...)
	data := segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 100}
	w.send(data)
	w.SetRules(w.now, mustParse(t, set("b")))
	w.send(data)
	if fired := w.Report()[0].Fired; fired != 1 {
		t.Errorf("it has fired %d times, want on the second segment, counted over the reload", fired)
	}
}
