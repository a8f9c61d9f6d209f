package integration

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// How the judge looks: at each sample the box stands still while both kernels are
// listed. A packet that was sent but not read by then is read before the next sample,
// so what two samples find without an event between them was so. A kernel may be in the
// middle of taking a segment in (a process has the socket locked); hence a
// disagreement counts once it stands for a while.
const (
	samplePause = 4 * time.Millisecond
	stands      = 25 * time.Millisecond
	standsFor   = 3 // samples
)

// A tuple is a 4-tuple by host.
type tuple [2]netip.AddrPort

// A judge compares what the box infers with what the kernels have.
type judge struct {
	world *world
	done  chan struct{} // the sampling has ended
	stop  context.CancelFunc

	mu      sync.Mutex // against notes of actors, and the end
	tracks  map[tuple]*track
	inOrder []*track
	tally   tally
	failed  int
}

// A track is what the judge knows of one 4-tuple.
type track struct {
	couple *couple
	tuple  tuple
	opened bool
	told   bool // a disagreement on it
	events int  // so far
	ends   [2]end
	log    []entry
}

// An end is one endpoint of a track, by host.
type end struct {
	model      conntrack.State
	touched    int  // how often a segment was sent by it or delivered to it
	sent       int  // how often it has sent what an endpoint without a socket would not
	given      int  // how often one was delivered to it
	rst        int  // touched, when a RST was delivered to it last
	fin        bool // it has sent a FIN since its SYN
	seen       sample
	doubt      sample // the first of a row of samples that disagree
	row        int
	noTimeWait bool // its host has tcp_max_tw_buckets = 0
	agreed     int  // touched, when the two last agreed; -1 never
	left       int  // given, when its process last closed or shut down; -1 never
	quit       bool // its process has closed or shut down, since it connected
	gone       bool // its process has closed
	dead       int  // sent, when it was found to have ended in silence; -1 it was not
	late       bool // its FIN was kept back while the peer's arrived
	kept       bool // its FIN is kept back
	excused    excuse
}

// A sample is one look at an endpoint.
type sample struct {
	at     time.Duration
	events int
	kernel conntrack.State
	model  conntrack.State
	socket netns.Socket
}

// An entry is a line of the ladder: an event of the box, or what an actor did.
type entry struct {
	event engine.Event
	at    time.Duration
	note  string
}

func newJudge(w *world) *judge {
	return &judge{world: w, done: make(chan struct{}), tracks: make(map[tuple]*track), tally: tally{rounds: 1}}
}

// track begins to follow a couple's 4-tuple.
func (j *judge) track(c *couple, addrs [2]netip.Addr) *track {
	tr := &track{couple: c, tuple: tuple{
		netip.AddrPortFrom(addrs[0], c.ports[0]), netip.AddrPortFrom(addrs[1], c.ports[1]),
	}}
	for i := range tr.ends {
		tr.ends[i].left, tr.ends[i].dead = -1, -1
		tr.ends[i].noTimeWait = j.world.round.hosts[i].stack().NoTimeWait
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tracks[tr.tuple] = tr
	j.inOrder = append(j.inOrder, tr)
	return tr
}

// leaves is note for what may end the endpoint without a word.
func (j *judge) leaves(tr *track, host int, how string) {
	j.note(tr, host, how)
	j.mu.Lock()
	defer j.mu.Unlock()
	tr.ends[host].left = tr.ends[host].given
	tr.ends[host].quit = true
	tr.ends[host].gone = how != "shutdown"
}

// begins is note for a process that has got a socket for the endpoint.
func (j *judge) begins(tr *track, host int, how string) {
	j.note(tr, host, how)
	j.mu.Lock()
	defer j.mu.Unlock()
	tr.ends[host].quit, tr.ends[host].gone = false, false
}

// note writes what an actor does into the ladder.
func (j *judge) note(tr *track, host int, what string) {
	at := j.world.engine.Since()
	j.mu.Lock()
	defer j.mu.Unlock()
	tr.log = append(tr.log, entry{at: at, note: fmt.Sprintf("host %d: %s", host, what)})
}

// hear takes in an event; it is the box's OnEvent.
func (j *judge) hear(e *engine.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	key, client := tuple{e.Client, e.Server}, 0
	if e.Client.Addr() != j.world.addrs[0] {
		key, client = tuple{e.Server, e.Client}, 1
	}
	tr := j.tracks[key]
	if tr == nil {
		return
	}
	tr.events++
	tr.opened = true
	tr.log = append(tr.log, entry{event: e.Clone(), at: e.Time})
	tr.ends[client].model, tr.ends[1-client].model = e.ClientState, e.ServerState
	if e.Type == engine.EventOpen {
		j.tally.connections++
	}
	if e.Type == engine.EventSegment || e.Type == engine.EventDeliver {
		tr.segment(e)
	}
}

// segment notes who was touched by a segment.
func (tr *track) segment(e *engine.Event) {
	x, y := &tr.ends[e.FromSide], &tr.ends[1-e.FromSide]
	if e.Type == engine.EventSegment && e.Verdict != engine.Forged {
		x.touched++
		if x.model != conntrack.SynSent || !strings.Contains(e.Flags, "R") {
			x.sent++ // in SYN_SENT a RST answers what nobody would accept
		}
		switch {
		case strings.Contains(e.Flags, "S"):
			x.fin, x.late, x.kept = false, false, false
		case strings.Contains(e.Flags, "F") && !e.Kinds.Has(conntrack.KindStale):
			x.fin = true
			x.late = x.late || x.kept && y.fin
			x.kept = false
		}
	}
	if e.Type == engine.EventDeliver || e.Verdict == engine.Pass || e.Verdict == engine.Forged {
		y.touched++
		y.given++
		if strings.Contains(e.Flags, "R") {
			y.rst = y.touched
		}
	}
}

// start samples until the context ends.
func (j *judge) start(ctx context.Context) {
	ctx, j.stop = context.WithCancel(ctx)
	go func() {
		defer close(j.done)
		for ctx.Err() == nil {
			if j.world.engine.Call(j.look) != nil {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(samplePause):
			}
		}
	}()
}

// finish ends the sampling after a last while, and closes the books.
func (j *judge) finish() {
	time.Sleep(settle)
	j.stop()
	<-j.done
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, tr := range j.inOrder {
		for i := range tr.ends {
			if tr.ends[i].dead >= 0 && tr.ends[i].model != conntrack.Closed {
				j.tally.unburied++
			}
		}
	}
	j.checkLosses()
}

// checkLosses: what was lost without a rule's will is no fault of the model's, but
// then the round has proved nothing.
func (j *judge) checkLosses() {
	if n, err := j.world.engine.RingDrops(); n > 0 || err != nil {
		j.world.t.Errorf("seed %d: %d packets were lost before they were read: %v", j.world.round.seed, n, err)
	}
	s := j.world.engine.Stats()
	for i, name := range engine.LossNames() {
		if s.Losses[i] > 0 && name != "gone" && name != "shutdown" {
			j.world.t.Errorf("seed %d: %d segments were lost: %s", j.world.round.seed, s.Losses[i], name)
		}
	}
	for v, n := range s.Verdicts {
		j.tally.verdicts[v] += n
	}
}

// look takes a sample of everything while the box stands still.
func (j *judge) look(b *engine.Box, now time.Duration) {
	var sockets [2]map[tuple]netns.Socket
	for h, n := range j.world.hosts {
		list, err := n.Sockets()
		if err != nil {
			j.world.t.Errorf("host %d: %v", h, err)
			return
		}
		sockets[h] = byTuple(list, h)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, tr := range j.inOrder {
		if !tr.opened {
			continue
		}
		for h := range tr.ends {
			s := sample{at: now, events: tr.events, model: tr.ends[h].model}
			s.socket = sockets[h][tr.tuple]
			s.kernel = stateOf(s.socket)
			j.compare(tr, h, s)
		}
	}
}

// byTuple sorts out the connections; a socket counts before a TIME_WAIT beside it.
func byTuple(list []netns.Socket, host int) map[tuple]netns.Socket {
	m := make(map[tuple]netns.Socket, len(list))
	for _, s := range list {
		var key tuple
		key[host], key[1-host] = s.Local, s.Remote
		if _, there := m[key]; !there || s.State != "TIME_WAIT" {
			m[key] = s
		}
	}
	return m
}

func stateOf(s netns.Socket) conntrack.State {
	state, _ := conntrack.ParseState(s.State) // none is CLOSED
	return state
}

// compare takes in one sample of one endpoint.
func (j *judge) compare(tr *track, h int, s sample) {
	x := &tr.ends[h]
	quiet := x.seen.events == s.events // the sample before was no snapshot of a packet under way
	switch {
	case !quiet:
	case x.seen.kernel == x.seen.model:
		j.tally.agreements++
		x.agreed, x.dead = x.touched, -1
	case x.keepsFin(x.seen):
		x.agreed = x.touched // as far as the wire can tell
	}
	x.seen = s
	x.observe(&tr.ends[1-h], s)
	if s.kernel == s.model {
		x.row, x.excused = 0, ""
		return
	}
	j.tally.doubts++
	d := &x.doubt
	if x.row == 0 || d.events != s.events || d.kernel != s.kernel || d.model != s.model {
		x.row, *d = 0, s
	}
	x.row++
	if x.row < standsFor || s.at-d.at < stands {
		return
	}
	why := x.excuse(s)
	if why == "" {
		j.disagree(tr, h, s)
		return
	}
	if x.excused != why {
		x.excused = why
		j.tally.excuse(why)
	}
}

// maxTold is how many disagreements of one round are told at length.
const maxTold = 2

func (j *judge) disagree(tr *track, h int, s sample) {
	if tr.told {
		return
	}
	tr.told = true
	if j.failed++; j.failed > maxTold {
		return
	}
	r := j.world.round
	j.world.t.Errorf("seed %d, offload %v, IPv%d, %s: since %.6f host %d is %v, inferred %v\nend: %+v\nsocket: %+v\nhosts: %v\n%v\nrules:\n%s\nladder (host 0 %v, host 1 %v):\n%s",
		r.seed, r.offload, r.ip, tr.couple.name, tr.ends[h].doubt.at.Seconds(), h, s.kernel, s.model, tr.ends[h], s.socket,
		r.hosts[0], r.hosts[1], r.rules, tr.tuple[0], tr.tuple[1], tr.ladder())
}
