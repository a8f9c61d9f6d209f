package control_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// Time stands still in these tests unless everything waits, so each answer comes at a known moment.

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dropFin+"[[rule]]\nname = \"mark\"\nmatch = { port = 80, segment = \"syn\" }\naction = { tag = \"seen\" }\n", 1)
		talk := r.open(4000, 80)
		talk.send(near, wire.ACK|wire.FIN, "")
		r.dry(far)
		r.open(4001, 80)
		const s = time.Second
		for _, row := range []struct {
			condition string
			met       bool
			seen      uint64
			took      time.Duration
			why       string
		}{
			{`{"rule":"drop-fin"}`, true, 1, 0, ""},
			{`{"rule":"drop-fin","fired":"2","within":"50ms"}`, false, 1, 50 * time.Millisecond, `rule "drop-fin" fired 1, want 2`},
			{`{"rule":"drop-fin","fired":"<= 1"}`, true, 1, 0, ""},
			{`{"rule":"drop-fin","fired":"1","lasts":3}`, true, 1, 3 * s, ""},
			{`{"client_state":"FIN_WAIT_1","port":"80"}`, true, 1, 0, ""},
			{`{"client_state":"FIN_WAIT_1","lasts":"1m"}`, true, 1, 60 * s, ""},
			{`{"state":"ESTABLISHED","connections":"2"}`, true, 2, 0, ""},
			{`{"state":"ESTABLISHED","connections":"1","within":1}`, false, 2, s, "there are 2 such connections, want 1" +
				"; connection 2: client ESTABLISHED, server ESTABLISHED; connection 1: client FIN_WAIT_1, server ESTABLISHED"},
			{`{"tag":"seen","connections":"2","lasts":"2s"}`, true, 2, 2 * s, ""},
			{`{"port":"81"}`, false, 0, 10 * s, "there are 0 such connections, want >=1; of 2 connections none has such a port"},
			{`{"port":"81","tag":"x"}`, false, 0, 10 * s, "there are 0 such connections, want >=1; of 2 connections none has such a port and tag"},
			{`{"port":"81","connections":"0"}`, true, 0, 0, ""},
			{`{"server_state":"CLOSE_WAIT","client":"10.77.1.1:4000"}`, false, 0, 10 * s,
				"there are 0 such connections, want >=1; connection 1: client FIN_WAIT_1, server ESTABLISHED"},
		} {
			var w client.Wait
			r.call("POST", "/v1/wait", row.condition).want(200).into(&w)
			got := fmt.Sprintln(w.Met, w.Seen, time.Duration(w.Took).Round(time.Millisecond), w.Why)
			if !row.met && time.Duration(w.Took) < row.took {
				t.Errorf("%s\nit took %v, which is less than was asked for", row.condition, w.Took)
			}
			if want := fmt.Sprintln(row.met, row.seen, row.took, row.why); got != want {
				t.Errorf("%s\ngot  %swant %s", row.condition, got, want)
			}
		}
	})
}

// What happens after the call is judged by the moment of the event, however short it was.
func TestWaitHears(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		name, condition string
		happens         func(*talk)
		want            string // met, seen, conn, at, took, longest
	}{
		{"a state that nobody could look at in time", `{"client_state":"FIN_WAIT_1","within":"1m"}`, func(x *talk) {
			time.Sleep(500 * ms)
			x.send(near, wire.ACK|wire.FIN, "")
			x.send(far, wire.ACK, "")
		}, "true 1 1 500ms 500ms 0s"},
		{"from when on it holds", `{"client_state":"FIN_WAIT_2","lasts":"2s"}`, func(x *talk) {
			time.Sleep(500 * ms)
			x.send(near, wire.ACK|wire.FIN, "")
			x.send(far, wire.ACK, "")
		}, "true 1 1 500ms 2.5s 0s"},
		{"a break, and too late for another time", `{"server_state":"ESTABLISHED","within":"1s","lasts":"5s"}`, func(x *talk) {
			time.Sleep(3 * time.Second)
			x.send(near, wire.ACK|wire.FIN, "")
			time.Sleep(ms)
			x.rig.open(4001, 80)
		}, "false 0 0 0s 3s 3s"},
		{"it begins in time, and lasts beyond it", `{"client_state":"FIN_WAIT_1","within":"1s","lasts":"5s"}`, func(x *talk) {
			time.Sleep(900 * ms)
			x.send(near, wire.ACK|wire.FIN, "")
		}, "true 1 1 900ms 5.9s 0s"},
		{"it begins too late", `{"client_state":"FIN_WAIT_1","within":"999ms"}`, func(x *talk) {
			time.Sleep(time.Second)
			x.send(near, wire.ACK|wire.FIN, "")
		}, "false 0 0 0s 999ms 0s"},
		{"one takes the place of another: not the same all the time", `{"client_state":"ESTABLISHED","within":"1s","lasts":"3s"}`, func(x *talk) {
			time.Sleep(900 * ms)
			x.rig.open(4001, 80)
			time.Sleep(100 * ms)
			x.send(near, wire.ACK|wire.RST, "")
		}, "true 1 2 900ms 3.9s 0s"},
		{"one takes the place of another: the number is", `{"client_state":"ESTABLISHED","connections":">=1","lasts":"3s"}`, func(x *talk) {
			time.Sleep(900 * ms)
			x.rig.open(4001, 80)
			time.Sleep(100 * ms)
			x.send(near, wire.ACK|wire.RST, "")
		}, "true 1 0 0s 3s 0s"},
		{"a number that is passed through", `{"client_state":"ESTABLISHED","connections":"2","within":"2s","lasts":"1s"}`, func(x *talk) {
			x.rig.open(4001, 80)
			time.Sleep(400 * ms)
			x.rig.open(4002, 80)
		}, "false 3 0 0s 2s 400ms"},
		{"a tag comes", `{"tag":"closing"}`, func(x *talk) {
			time.Sleep(100 * ms)
			x.send(near, wire.ACK|wire.FIN, "")
		}, "true 1 1 100ms 100ms 0s"},
		{"a tag comes and goes", `{"tag":"closing","lasts":"1s","within":"2s"}`, func(x *talk) {
			x.send(near, wire.ACK|wire.FIN, "")
			time.Sleep(100 * ms)
			x.send(far, wire.ACK|wire.FIN, "")
		}, "false 0 0 0s 2s 100ms"},
		{"a reset by hand", `{"state":"CLOSED","closed":true}`, func(x *talk) {
			time.Sleep(100 * ms)
			x.rig.call("POST", "/v1/connections/1/reset", `{"to":"client"}`).want(200)
		}, "true 1 1 100ms 100ms 0s"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, "[[rule]]\nmatch = { segment = \"first-fin\" }\naction = { tag = \"closing\" }\n"+
					"[[rule]]\nmatch = { segment = \"second-fin\" }\naction = { untag = \"closing\" }\n", 2)
				talk := r.open(4000, 80)
				answers := make(chan answered)
				go func() { answers <- r.call("POST", "/v1/wait", row.condition) }()
				synctest.Wait()
				row.happens(talk)
				var w client.Wait
				(<-answers).want(200).into(&w)
				round := func(d client.Duration) time.Duration { return time.Duration(d).Round(time.Millisecond) }
				if got := fmt.Sprintf("%v %d %d %v %v %v", w.Met, w.Seen, w.Conn, round(w.At), round(w.Took), round(w.Longest)); got != row.want {
					t.Errorf("got %s (%s), want %s", got, w.Why, row.want)
				}
				if r.Waits() != 0 {
					t.Errorf("%d wait still", r.Waits())
				}
			})
		})
	}
}

// What holds when the time is over, but began too late, is no riddle.
func TestWaitTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, noRules, 1)
		answers := make(chan answered)
		talk := r.open(4000, 80)
		go func() {
			answers <- r.call("POST", "/v1/wait", `{"client_state":"ESTABLISHED","within":"1s","lasts":"5s"}`)
		}()
		synctest.Wait()
		time.Sleep(3 * time.Second)
		r.open(4001, 80)
		talk.send(near, wire.ACK|wire.FIN, "")
		var w client.Wait
		const want = "there are 1 such connections, but too late; it held for 3s at the longest; connection 2: "
		if (<-answers).want(200).into(&w); w.Met || !strings.HasPrefix(w.Why, want) {
			t.Errorf("%+v", w)
		}
	})
}

// A count of firings is told of when it is reached, not looked at again and again.
func TestWaitForFirings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "[[rule]]\nname = \"twice\"\nmatch = { segment = \"data\" }\nactions = [{ tag = \"x\" }, { untag = \"x\" }, \"drop\"]\n", 2)
		talks := []*talk{r.open(4000, 80), r.open(4001, 80), r.open(4002, 80)}
		answers := make(chan answered)
		go func() {
			answers <- r.call("POST", "/v1/wait", `{"rule":"twice","fired":"100","within":"1h","lasts":"1s"}`)
		}()
		for i := range 100 {
			time.Sleep(time.Second)
			talks[i%3].send(near, wire.ACK, "x")
		}
		var w client.Wait
		(<-answers).want(200).into(&w)
		if got := time.Duration(w.Took).Round(time.Millisecond); !w.Met || w.Seen != 100 || got != 101*time.Second {
			t.Errorf("%+v", w)
		}
	})
}

// An action that has nothing to do tells of nothing; that its rule has fired is seen all the same, and soon.
func TestWaitForSilentFirings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "[[rule]]\nname = \"halves\"\nmatch = { segment = \"data\" }\naction = { split = 100 }\n", 1)
		talk := r.open(4000, 80)
		answers := make(chan answered)
		go func() { answers <- r.call("POST", "/v1/wait", `{"rule":"halves","within":"1h"}`) }()
		time.Sleep(time.Second)
		talk.send(near, wire.ACK, "short")
		var w client.Wait
		(<-answers).want(200).into(&w)
		if took := time.Duration(w.Took); !w.Met || w.Seen != 1 || took > 1100*time.Millisecond {
			t.Errorf("%+v", w)
		}
	})
}

// A wait ends as soon as what it waits for happens, and when the rule is taken away.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dropFin, 1)
		talk := r.open(4000, 80)
		answers := make(chan answered)
		wait := func() { answers <- r.call("POST", "/v1/wait", `{"rule":"drop-fin","within":"1h"}`) }
		go wait()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		talk.send(near, wire.ACK|wire.FIN, "")
		var w client.Wait
		(<-answers).want(200).into(&w)
		if took := time.Duration(w.Took); !w.Met || took != 5*time.Second {
			t.Errorf("%+v", w)
		}
		r.call("PUT", "/v1/rules", "").want(200)
		r.call("PUT", "/v1/rules", dropFin).want(200)
		go wait()
		synctest.Wait()
		r.call("PUT", "/v1/rules", "").want(200)
		(<-answers).want(404)
		r.call("PUT", "/v1/rules", dropFin).want(200)
		go wait()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- r.Close() }() // so does the end of the server
		(<-answers).want(503).is(`{"error":"the instance has ended","status":503}`)
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// An engine that ends by itself ends what waits for it, and that is no verdict; what has happened
// until then is told.
func TestEngineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dropFin, 1)
		talk := r.open(4000, 80)
		rule, conns, events := make(chan answered), make(chan answered), make(chan answered)
		go func() { rule <- r.call("POST", "/v1/wait", `{"rule":"drop-fin","within":"1h"}`) }()
		go func() { conns <- r.call("POST", "/v1/wait", `{"state":"CLOSE_WAIT","within":"1h"}`) }()
		go func() { events <- r.call("GET", "/v1/events?type=close,segment", "") }()
		synctest.Wait()
		talk.send(near, wire.ACK, "x")
		r.drain(far, 1)
		r.stop()
		for _, answers := range []chan answered{rule, conns} {
			(<-answers).want(503).is(`{"error":"the instance has ended","status":503}`)
		}
		if text := (<-events).want(200).Body.String(); !strings.HasSuffix(text, "}\n") || !strings.Contains(text, `"verdict":"pass"`) {
			t.Errorf("events %s", text)
		}
	})
}

// There are only so many waits, and a place is free again when one has ended.
func TestManyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dropFin, 1)
		const most = 256
		answers := make(chan answered, most)
		for range most {
			go func() { answers <- r.call("POST", "/v1/wait", `{"rule":"drop-fin","within":"1s"}`) }()
		}
		synctest.Wait()
		r.call("POST", "/v1/wait", `{"rule":"drop-fin"}`).want(429).is(`{"error":"256 wait already","status":429}`)
		for range most {
			(<-answers).want(200)
		}
		r.call("POST", "/v1/wait", `{"rule":"drop-fin","within":"1ms"}`).want(200)
	})
}
