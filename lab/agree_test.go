package lab

import (
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
)

// A rig holds made-up samples against made-up events.
type rig struct {
	t       *testing.T
	now     time.Duration
	sample  sample
	obs     *observer
	compare *comparison
	behind  func()      // what the box learns once it catches up; nil: nothing
	counts  [2]counters // of the kernels
}

func newRig(t *testing.T) *rig {
	return &rig{
		t: t, obs: newObserver(nil, false), compare: newComparison(),
		sample: sample{conns: map[tuple]*[2]end{}, known: []tuple{tupleNamed("a")}},
	}
}

// infers makes the box say that the endpoints are in these states.
func (r *rig) infers(states string) {
	r.event(engine.Event{Type: engine.EventState}, states)
}

// moves makes a segment pass, after which the endpoints are in these states.
func (r *rig) moves(states string, verdict engine.Verdict) {
	r.event(engine.Event{Type: engine.EventSegment, Verdict: verdict}, states)
}

func (r *rig) event(e engine.Event, states string) {
	ends := endsNamed(r.t, states)
	t := tupleNamed("a")
	e.Time, e.Conn, e.Client, e.Server = r.now, 1, t[0], t[1]
	e.ClientState, e.ServerState = ends[0].state, ends[1].state
	r.obs.hear(&e)
}

// shows makes the kernels show these states for so long, sampled as in a run.
func (r *rig) shows(states string, d time.Duration) {
	r.sample.conns[tupleNamed("a")] = endsNamed(r.t, states)
	for end := r.now + d; r.now < end; {
		r.now += pollEvery
		r.look()
	}
}

// look takes a sample, and another one when the box has caught up, as a run does.
func (r *rig) look() {
	r.sample.at = r.now
	if !r.compare.compare(&r.sample, r.obs) {
		return
	}
	if r.behind != nil {
		r.behind()
	}
	r.compare.confirm(&r.sample, r.obs, r.counts)
}

func TestAgreement(t *testing.T) {
	tests := []struct {
		name   string
		play   func(r *rig)
		differ string // what the difference says; empty: none
		silent string // the state in which an endpoint ended silently
	}{
		{"the same all the time", func(r *rig) {
			r.infers("ESTABLISHED ESTABLISHED")
			r.shows("ESTABLISHED ESTABLISHED", time.Second)
		}, "", ""},
		{"another for 90 ms", func(r *rig) {
			r.infers("ESTABLISHED ESTABLISHED")
			r.shows("SYN_SENT ESTABLISHED", 90*time.Millisecond)
			r.shows("ESTABLISHED ESTABLISHED", time.Second)
		}, "", ""},
		{"another for 200 ms", func(r *rig) {
			r.infers("TIME_WAIT LAST_ACK")
			r.shows("TIME_WAIT CLOSE_WAIT", 200*time.Millisecond)
			r.shows("TIME_WAIT LAST_ACK", time.Second)
		}, "the server's endpoint is inferred to be LAST_ACK, its kernel has it in CLOSE_WAIT, since 0.005s for 195ms", ""},
		{"another for 200 ms, with a break", func(r *rig) {
			r.infers("TIME_WAIT LAST_ACK")
			r.shows("TIME_WAIT CLOSE_WAIT", 95*time.Millisecond)
			r.shows("TIME_WAIT LAST_ACK", 5*time.Millisecond)
			r.shows("TIME_WAIT CLOSE_WAIT", 95*time.Millisecond)
			r.shows("TIME_WAIT LAST_ACK", 5*time.Millisecond)
		}, "", ""},
		{"nothing is known of the time between two far samples", func(r *rig) {
			r.infers("TIME_WAIT LAST_ACK")
			r.shows("TIME_WAIT CLOSE_WAIT", 5*time.Millisecond)
			r.now += 200 * time.Millisecond
			r.shows("TIME_WAIT CLOSE_WAIT", 5*time.Millisecond)
			r.shows("TIME_WAIT LAST_ACK", 5*time.Millisecond)
		}, "", ""},
		{"an orphan that expires", func(r *rig) {
			r.infers("TIME_WAIT LAST_ACK")
			r.shows("TIME_WAIT LAST_ACK", 100*time.Millisecond)
			r.shows("TIME_WAIT CLOSED", time.Second)
		}, "", "LAST_ACK"},
		{"no room for FIN_WAIT_2 without a process", func(r *rig) {
			r.compare.stacks[clientSide].NoTimeWait = true
			r.infers("FIN_WAIT_2 CLOSE_WAIT")
			r.shows("CLOSED CLOSE_WAIT", time.Second)
		}, "", "FIN_WAIT_2"},
		{"a socket that goes with a segment delivered to it", func(r *rig) {
			r.infers("TIME_WAIT LAST_ACK")
			r.shows("TIME_WAIT LAST_ACK", 100*time.Millisecond)
			r.now += time.Millisecond
			r.moves("TIME_WAIT LAST_ACK", engine.Pass)
			r.shows("TIME_WAIT CLOSED", time.Second)
		}, "the server's endpoint is inferred to be LAST_ACK, its kernel has it in CLOSED", ""},
		{"a socket that goes with a segment delivered to it, and looks that come late", func(r *rig) {
			r.behind = func() { r.now += 15 * time.Millisecond; r.sample.at = r.now }
			r.infers("TIME_WAIT LAST_ACK")
			r.shows("TIME_WAIT LAST_ACK", 100*time.Millisecond)
			r.now += time.Millisecond
			r.moves("TIME_WAIT LAST_ACK", engine.Pass)
			r.shows("TIME_WAIT CLOSED", time.Second)
		}, "the server's endpoint is inferred to be LAST_ACK, its kernel has it in CLOSED", ""},
		{"FIN_WAIT_2 without a process takes what another refuses", func(r *rig) {
			r.infers("CLOSE_WAIT FIN_WAIT_2")
			r.shows("CLOSE_WAIT FIN_WAIT_2", 100*time.Millisecond)
			r.sample.conns[tupleNamed("a")][serverSide].remnant = true
			r.now += pollEvery
			r.look()
			r.now += time.Millisecond
			r.moves("CLOSE_WAIT FIN_WAIT_2", engine.Pass)
			r.shows("CLOSE_WAIT CLOSED", time.Second)
		}, "", "FIN_WAIT_2"},
		{"a socket that goes some time after a segment delivered to it", func(r *rig) {
			r.infers("ESTABLISHED ESTABLISHED")
			r.shows("ESTABLISHED ESTABLISHED", 100*time.Millisecond)
			r.now += time.Millisecond
			r.moves("ESTABLISHED ESTABLISHED", engine.Pass)
			r.now += 20 * time.Millisecond // the lab was kept from looking
			r.shows("ESTABLISHED CLOSED", time.Second)
		}, "", "ESTABLISHED"},
		{"a socket that goes while a segment to it is dropped", func(r *rig) {
			r.infers("TIME_WAIT LAST_ACK")
			r.shows("TIME_WAIT LAST_ACK", 100*time.Millisecond)
			r.now += time.Millisecond
			r.moves("TIME_WAIT LAST_ACK", engine.Drop)
			r.shows("TIME_WAIT CLOSED", time.Second)
		}, "", "LAST_ACK"},
		{"a socket that goes before both ever agreed", func(r *rig) {
			r.infers("ESTABLISHED SYN_RCVD")
			r.shows("ESTABLISHED CLOSED", time.Second)
		}, "inferred to be SYN_RCVD, its kernel has it in CLOSED", ""},
		{"after a silent end segments may come", func(r *rig) {
			r.infers("FIN_WAIT_2 CLOSE_WAIT")
			r.shows("FIN_WAIT_2 CLOSE_WAIT", 100*time.Millisecond)
			r.shows("CLOSED CLOSE_WAIT", 100*time.Millisecond)
			r.moves("TIME_WAIT LAST_ACK", engine.Pass)
			r.shows("CLOSED LAST_ACK", 300*time.Millisecond)
		}, "", "FIN_WAIT_2"},
		{"after a silent end another connection counts again", func(r *rig) {
			r.infers("ESTABLISHED ESTABLISHED")
			r.shows("ESTABLISHED ESTABLISHED", 100*time.Millisecond)
			r.shows("CLOSED ESTABLISHED", 100*time.Millisecond)
			r.infers("SYN_SENT ESTABLISHED")
			r.shows("ESTABLISHED ESTABLISHED", 300*time.Millisecond)
		}, "inferred to be SYN_SENT, its kernel has it in ESTABLISHED", "ESTABLISHED"},
		{"only a listener is left", func(r *rig) {
			r.infers("TIME_WAIT CLOSED")
			r.shows("TIME_WAIT LISTEN", time.Second)
		}, "", ""},
		{"a FIN behind data that nobody takes", func(r *rig) {
			r.infers("ESTABLISHED ESTABLISHED")
			r.sample.conns[tupleNamed("a")] = &[2]end{
				{state: conntrack.FinWait1, present: true, unsent: true},
				{state: conntrack.Established, present: true},
			}
			for range 100 {
				r.now += pollEvery
				r.look()
			}
		}, "", ""},
		{"a FIN that the box has not read for 300 ms", func(r *rig) {
			r.infers("ESTABLISHED ESTABLISHED")
			r.behind = func() { r.moves("FIN_WAIT_1 ESTABLISHED", engine.Drop) }
			r.shows("FIN_WAIT_1 ESTABLISHED", 300*time.Millisecond)
		}, "", ""},
		{"a FIN that the box takes for a RST when it reads it", func(r *rig) {
			r.infers("ESTABLISHED ESTABLISHED")
			r.behind = func() { r.moves("CLOSED ESTABLISHED", engine.Drop) }
			r.shows("FIN_WAIT_1 ESTABLISHED", 300*time.Millisecond)
		}, "inferred to be CLOSED, its kernel has it in FIN_WAIT_1", ""},
		{"a socket that goes while its last repetition is read late", func(r *rig) {
			r.infers("FIN_WAIT_1 CLOSE_WAIT")
			r.shows("FIN_WAIT_1 CLOSE_WAIT", 100*time.Millisecond)
			r.now += time.Millisecond
			r.moves("FIN_WAIT_1 CLOSE_WAIT", engine.Drop)
			r.shows("CLOSED CLOSE_WAIT", time.Second)
		}, "", "FIN_WAIT_1"},
		{"a SYN that the kernel has counted as dropped", func(r *rig) {
			r.counts[serverSide] = counters{"ListenOverflows": 1}
			r.infers("SYN_SENT SYN_RCVD")
			r.shows("SYN_SENT LISTEN", time.Second)
		}, "", ""},
		{"the same when the lab was kept from looking", func(r *rig) {
			r.counts[serverSide] = counters{"ListenOverflows": 1}
			r.infers("SYN_SENT SYN_RCVD")
			r.shows("SYN_SENT LISTEN", 200*time.Millisecond)
			r.now += 200 * time.Millisecond
			r.shows("SYN_SENT LISTEN", 200*time.Millisecond)
		}, "", ""},
		{"a SYN that another host's kernel has", func(r *rig) {
			r.counts[clientSide] = counters{"ListenOverflows": 1}
			r.infers("SYN_SENT SYN_RCVD")
			r.shows("SYN_SENT LISTEN", time.Second)
		}, "the server's endpoint is inferred to be SYN_RCVD, its kernel has it in CLOSED", ""},
		{"a count of a listener that is another's", func(r *rig) {
			r.counts[serverSide] = counters{"ListenOverflows": 1}
			r.infers("SYN_SENT SYN_RCVD")
			r.shows("SYN_SENT CLOSED", time.Second)
		}, "the server's endpoint is inferred to be SYN_RCVD, its kernel has it in CLOSED", ""},
		{"one count is for one difference", func(r *rig) {
			r.counts[serverSide] = counters{"ListenOverflows": 1}
			r.infers("SYN_SENT SYN_RCVD")
			r.shows("SYN_SENT LISTEN", 200*time.Millisecond)
			r.infers("ESTABLISHED ESTABLISHED")
			r.shows("ESTABLISHED SYN_RCVD", 200*time.Millisecond)
		}, "inferred to be ESTABLISHED, its kernel has it in SYN_RCVD", ""},
		{"a handshake that is known to be complete", func(r *rig) {
			r.counts[serverSide] = counters{"ListenOverflows": 9, "TCPDeferAcceptDrop": 9}
			r.infers("ESTABLISHED ESTABLISHED")
			r.shows("ESTABLISHED ESTABLISHED", 100*time.Millisecond)
			r.shows("ESTABLISHED SYN_RCVD", 200*time.Millisecond)
		}, "inferred to be ESTABLISHED, its kernel has it in SYN_RCVD", ""},
		{"a FIN that nobody saw", func(r *rig) {
			r.infers("ESTABLISHED ESTABLISHED")
			r.shows("FIN_WAIT_1 ESTABLISHED", time.Second)
		}, "inferred to be ESTABLISHED, its kernel has it in FIN_WAIT_1", ""},
		{"a host that loses all its sockets", func(r *rig) {
			r.infers("ESTABLISHED ESTABLISHED")
			r.shows("ESTABLISHED ESTABLISHED", 100*time.Millisecond)
			r.moves("ESTABLISHED ESTABLISHED", engine.Pass)
			r.compare.gone(r.now, serverSide, r.obs)
			r.shows("ESTABLISHED CLOSED", time.Second)
		}, "", "ESTABLISHED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			tt.play(r)
			got := r.compare.result(0)
			if got.OK != (tt.differ == "") {
				t.Errorf("got OK %v with %v", got.OK, got.Differences)
			}
			if tt.differ != "" && (len(got.Differences) == 0 || !strings.Contains(got.Differences[0].String(), tt.differ)) {
				t.Errorf("got %v, want %q", got.Differences, tt.differ)
			}
			var silent strings.Builder
			for _, s := range got.Silent {
				silent.WriteString(s.State.String())
			}
			if silent.String() != tt.silent {
				t.Errorf("silent ends in %q, want %q", silent.String(), tt.silent)
			}
		})
	}
}
