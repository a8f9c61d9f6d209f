package control_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dropFin, 1)
		talk := r.open(4000, 80)
		talk.send(near, wire.ACK|wire.FIN, "")
		r.dry(far)
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
			{`{"client_state":"FIN_WAIT_1","port":"80"}`, true, 1, 0, ""},
			{`{"state":"ESTABLISHED","connections":"1"}`, true, 1, 0, ""},
			{`{"port":"81"}`, false, 0, 10 * time.Second, "there are 0 such connections, want >=1"},
			{`{"port":"81","connections":"0"}`, true, 0, 0, ""},
		} {
			var w client.Wait
			r.call("POST", "/v1/wait", row.condition).want(200).into(&w)
			want := client.Wait{Met: row.met, Seen: row.seen, Took: w.Took, Why: row.why}
			if w != want {
				t.Errorf("%s: got %+v, want %+v", row.condition, w, want)
			}
			if took := time.Duration(w.Took); took > row.took || took < row.took-20*time.Millisecond {
				t.Errorf("%s: it took %v, want %v", row.condition, took, row.took)
			}
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
		if took := time.Duration(w.Took); !w.Met || took < 5*time.Second || took > 5*time.Second+20*time.Millisecond {
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
		go r.Close() // so does the end of the server
		(<-answers).want(200).into(&w)
		if w.Met {
			t.Errorf("%+v", w)
		}
	})
}
