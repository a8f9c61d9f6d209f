package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// rstsTo counts the RSTs that have left towards a side.
func (w *world) rstsTo(side int) (n int) {
	for _, l := range w.left {
		var p wire.Packet
		if l.side == side && p.Parse(l.data, 0, false) == wire.OK && p.Flags().Has(wire.RST) {
			n++
		}
	}
	return n
}

const cutIdle = "[[rule]]\nname = \"cut\"\nat = { idle = \"10s\" }\naction = { reset = \"client\" }\n"

// A rule that stays acts once, and counts on; a new one meets what is silent already.
func TestMomentsSurviveReload(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, cutIdle)})
	w.send(handshake(0)...)
	w.advance(6 * time.Second)
	w.SetRules(w.now, mustParse(t, "[[rule]]\nname = \"other\"\nmatch = { port = 9 }\naction = \"drop\"\n"+cutIdle))
	w.advance(10*time.Second - 1)
	if w.rstsTo(client) != 0 {
		t.Fatal("it acted too early")
	}
	w.advance(10 * time.Second)
	w.send(segment{from: server, flags: wire.ACK, seq: 1, ack: 1, size: 10})
	if s := w.Stats(); s.Moments != 0 {
		t.Errorf("%d connections have a moment to come after a rule has acted, want none", s.Moments)
	}
	w.SetRules(w.now, mustParse(t, "title = \"again\"\n"+cutIdle))
	w.advance(time.Minute)
	if n := w.rstsTo(client); n != 1 {
		t.Errorf("%d RSTs over two reloads, want 1", n)
	}
	w.SetRules(w.now, mustParse(t, "[[rule]]\nname = \"new\"\nat = { idle = \"30s\" }\naction = { reset = \"server\" }\n"))
	w.advance(w.now)
	if n := w.rstsTo(server); n != 1 {
		t.Errorf("%d RSTs by a new rule whose moment has long come, want 1", n)
	}
	w.SetRules(w.now, nil)
	w.advance(w.now + time.Hour)
	if n, s := w.rstsTo(client)+w.rstsTo(server), w.Stats(); n != 2 || s.Moments != 0 {
		t.Errorf("%d RSTs and %d moments without rules, want 2 and 0", n, s.Moments)
	}
}

// Once the faults are off no moment comes any more, and nobody waits for one.
func TestHealEndsMoments(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, cutIdle)})
	w.send(handshake(0)...)
	w.Heal(w.now)
	if s := w.Stats(); s.Moments != 0 {
		t.Errorf("%d connections have a moment to come", s.Moments)
	}
	w.advance(time.Hour)
	if n := w.rstsTo(client); n != 0 {
		t.Errorf("%d RSTs, want none", n)
	}
}

// What is gone leaves no alarm behind, however often that is.
func TestMomentsOfManyConnections(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, strings.Replace(cutIdle, "10s", "10h", 1)), MaxConns: 10})
	for port := range uint16(1000) {
		w.send(handshake(1024 + port)...)
	}
	if s := w.Stats(); s.Moments != 10 {
		t.Errorf("%d connections have a moment to come, want the 10 that there is room for", s.Moments)
	}
}

// Rules without a segment pass packets on whole, and are heard of all the same.
func TestMomentsAskNothingOfPackets(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, cutIdle), Offload: [2]bool{true, true}})
	w.send(handshake(0)...)
	w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 5000, gso: 1000})
	if s := w.Stats(); s.Whole != 4 || s.Moments != 1 {
		t.Errorf("%d packets passed whole and %d connections have a moment to come, want 4 and 1", s.Whole, s.Moments)
	}
	var rec engine.Recorder
	w = newWorld(engine.BoxConfig{Rules: mustParse(t, cutIdle), OnEvent: rec.Record})
	w.send(handshake(0)...)
	w.advance(time.Minute)
	count := map[engine.EventType]int{}
	for _, e := range rec.Events() {
		count[e.Type]++
	}
	if count[engine.EventSegment] != 4 || count[engine.EventRule] != 1 || count[engine.EventOpen] != 1 {
		t.Errorf("events %v, want 4 of segments, 1 of the rule", count)
	}
}

// Boxes that share the work share what is limited in all, and each has its own connections' moments.
func TestMomentsOfSeveralBoxes(t *testing.T) {
	set := mustParse(t, strings.Replace(cutIdle, "action", "total = 3\naction", 1))
	var totals engine.Totals
	var worlds [2]*world
	for i := range worlds {
		worlds[i] = newWorld(engine.BoxConfig{Rules: set, Totals: &totals})
		for c := range 10 {
			worlds[i].send(handshake(uint16(40000 + 2*c + i))...)
		}
	}
	rsts := 0
	for i := range worlds {
		worlds[i].advance(time.Minute)
		rsts += worlds[i].rstsTo(client)
	}
	if rsts != 3 {
		t.Errorf("%d RSTs, want 3 in all", rsts)
	}
}

// A connection of which nothing is heard any more wakes its worker by itself.
func TestEngineActsOnIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, mustParse(t, strings.Replace(cutIdle, "10s", "137501us", 1)))
		r.send(handshake(0)...)
		r.received(client)
		start := time.Now()
		if _, _, err := r.devices[client].Receive(time.Minute); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 137501*time.Microsecond {
			t.Errorf("it was reset after %v", took)
		}
		r.end()
	})
}

// A rule whose moment has not come says how close it came, silence that lasts included.
func TestWhyNoMoment(t *testing.T) {
	for _, row := range []struct{ rule, want string }{
		{`at = { idle = "10s" }`, "the longest silence was 3.2s"},
		{`at = { age = "10s" }`, "the oldest connection was 4.2s old"},
		{`at = { state = "ESTABLISHED", for = "10s" }`, "the longest stay in ESTABLISHED was 4.2s"},
		{`at = { state = ["FIN_WAIT_2", "LAST_ACK"] }`, "no endpoint was ever in FIN_WAIT_2, LAST_ACK"},
		{`at = { state = "SYN_RCVD", of = "client" }`, "no client was ever in SYN_RCVD"},
		{"match = { port = 9 }\nat = { idle = \"1s\" }", "no connection had port = 9"},
		{"match = { client_state = \"SYN_SENT\" }\nat = { idle = \"1s\" }",
			"closest: 2 moments got as far as client_state = SYN_SENT, the last one had ESTABLISHED"},
		{"match = { tag = \"a\" }\nat = { age = \"4s\" }", `closest: 1 moment got as far as tag = ["a"]`},
		{"for = \"3s\"\nat = { age = \"4s\" }", `closest: 1 moment got as far as after = "0s", for = "3s", the last one had 4s`},
		{"share = 0\nat = { age = \"1s\" }", "closest: 1 connection got as far as share = 0"},
		{"probability = 0\nat = { age = \"1s\" }", "closest: 1 moment got as far as probability = 0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, mustParse(t, "[[rule]]\n"+row.rule+"\naction = \"reset\"\n"))
			r.send(handshake(0)...)
			time.Sleep(time.Second)
			r.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10})
			time.Sleep(3200 * time.Millisecond)
			synctest.Wait()
			if got := r.Report()[0].WhyNot; got != row.want {
				t.Errorf("%s: got %s\nwant %s", row.rule, got, row.want)
			}
			r.end()
		})
	}
}

// anytimeActions are examples of each action that a rule with `at` may have.
var anytimeActions = map[string][]string{
	"reset":     {`"reset"`, `{ reset = { to = "server", seq = "out-of-window", hide = true } }`},
	"blackhole": {`"blackhole"`, `{ blackhole = { from = "client", for = "1s", heal = "reset" } }`},
	"release":   {`"release"`, `{ release = "other" }`, `{ release = { tag = "a" } }`},
	"tag":       {`{ tag = "a" }`},
	"untag":     {`{ untag = "a" }`},
	"forget":    {`"forget"`, `{ forget = { then = "rst-both", notify = "rst-both" } }`},
	"fin":       {`{ fin = { to = "client" } }`, `{ fin = { to = "server" } }`},
	"inject":    {`{ inject = { to = "client", flags = "PA", data = "x" } }`, `{ inject = { to = "server", flags = "A", seq = -1 } }`},
}

// Faults that need no segment act without one, all of them, on a connection that
// goes on and on one that has closed halfway.
func TestAnytimeActions(t *testing.T) {
	for _, fault := range rules.Faults() {
		if !fault.Anytime {
			continue
		}
		if len(anytimeActions[fault.Name]) == 0 {
			t.Errorf("no example of %q", fault.Name)
		}
		for _, action := range anytimeActions[fault.Name] {
			w := newWorld(engine.BoxConfig{Rules: mustParse(t, fmt.Sprintf("[[rule]]\nat = { idle = \"1s\" }\ncount = 2\naction = %s\n", action))})
			w.send(handshake(0)...)
			w.advance(2 * time.Second)
			w.send(segment{from: client, flags: wire.ACK | wire.FIN, seq: 1, ack: 1}, segment{from: server, flags: wire.ACK, seq: 1, ack: 2})
			w.advance(time.Minute)
			if r := w.Report()[0]; r.Fired == 0 {
				t.Errorf("%s has not acted", action)
			}
		}
	}
}
