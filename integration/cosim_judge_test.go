package integration

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// How the judge looks: at each sample the box stands still while both kernels are
// listed. A packet that was sent but not read by then is read before the next sample;
// so a sample counts once the next one finds that no event came between. A kernel may
// also be in the middle of taking a segment in, while a process has the socket
// locked: a difference counts once it stands for a while.
const (
	samplePause = 4 * time.Millisecond
	standsFor   = 3                      // samples with the same difference, and
	stands      = 25 * time.Millisecond  // so long, if nothing happens, or
	standsBusy  = 200 * time.Millisecond // so long whatever happens
)

// A judge compares what the box infers with what the kernels have.
type judge struct {
	world *world
	stop  context.CancelFunc
	done  chan struct{} // the sampling has ended

	mu      sync.Mutex // actors write their notes from their own goroutines
	tracks  map[tuple]*track
	inOrder []*track
	tally   tally
	failed  int
}

func newJudge(w *world) *judge {
	return &judge{world: w, done: make(chan struct{}), tracks: make(map[tuple]*track), tally: tally{rounds: 1}}
}

// track begins to follow a couple's 4-tuple.
func (j *judge) track(c *couple, addrs [2]netip.Addr) *track {
	tr := &track{couple: c}
	for h := range tr.tuple {
		tr.tuple[h] = netip.AddrPortFrom(addrs[h], c.ports[h])
		tr.ends[h].dead = -1
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tracks[tr.tuple] = tr
	j.inOrder = append(j.inOrder, tr)
	return tr
}

// note writes what an actor does into the ladder.
func (j *judge) note(tr *track, host int, what string) {
	j.act(tr, host, what, func(*end, time.Duration) {})
}

// begins is note for a process that has got a socket for the endpoint.
func (j *judge) begins(tr *track, host int, how string) {
	j.act(tr, host, how, func(x *end, _ time.Duration) { x.process = processFacts{} })
}

// shuts and closes are note for a process that may end the endpoint without a word.
func (j *judge) shuts(tr *track, host int, how string) {
	j.act(tr, host, how, func(x *end, at time.Duration) {
		p := &x.process
		if !p.quit {
			p.quit, p.quitAt = true, at
		}
		p.given = x.wire.given
	})
}

func (j *judge) closes(tr *track, host int, how ending) {
	j.shuts(tr, host, how.String())
	j.act(tr, host, "", func(x *end, at time.Duration) {
		x.process.closed, x.process.shutAt, x.process.aborted = true, at, how == endAbort
	})
}

func (j *judge) act(tr *track, host int, what string, f func(*end, time.Duration)) {
	at := j.world.engine.Since()
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&tr.ends[host], at)
	if what != "" {
		tr.log = append(tr.log, entry{at: at, note: fmt.Sprintf("host %d: %s", host, what)})
	}
}

// hear takes in an event; it is the box's OnEvent.
func (j *judge) hear(e *engine.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	key, client := tuple{e.Client, e.Server}, 0
	if e.Client.Addr() != j.world.addrs[0] {
		key, client = tuple{e.Server, e.Client}, 1
	}
	if tr := j.tracks[key]; tr != nil {
		tr.hear(e, client)
	}
	if e.Type == engine.EventOpen {
		j.tally.connections++
	}
}

// start samples until the context ends.
func (j *judge) start(ctx context.Context) {
	ctx, j.stop = context.WithCancel(ctx)
	go func() {
		defer close(j.done)
		for ctx.Err() == nil && j.world.engine.Call(j.look) == nil {
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
	e := j.world.engine
	j.checkLosses()
	stats, report := e.Stats(), e.Report() // before the lock: for these the box stands still, and it may be telling
	j.mu.Lock()
	defer j.mu.Unlock()
	for v, n := range stats.Verdicts {
		j.tally.verdicts[v] += n
	}
	for i, r := range report {
		j.tally.fire(j.world.rules.Rules[i].Actions[0].Name, r.Fired)
	}
	for _, tr := range j.inOrder {
		for h := range tr.ends {
			if x := &tr.ends[h]; x.dead >= 0 && x.model != conntrack.Closed {
				j.tally.unburied++
			}
		}
	}
}

// checkLosses: what was lost without a rule's will is no fault of the model's, but
// then the round has proved nothing.
func (j *judge) checkLosses() {
	seed := j.world.round.seed
	if n, err := j.world.engine.RingDrops(); n > 0 || err != nil {
		j.world.t.Errorf("seed %d: %d packets were lost before they were read: %v", seed, n, err)
	}
	s := j.world.engine.Stats()
	for i, name := range engine.LossNames() {
		if s.Losses[i] > 0 && name != "gone" && name != "shutdown" {
			j.world.t.Errorf("seed %d: %d segments were lost: %s", seed, s.Losses[i], name)
		}
	}
}

// look takes a sample of everything while the box stands still.
func (j *judge) look(_ *engine.Box, now time.Duration) {
	j.mu.Lock() // before the kernels are asked: what a process did is known by then
	defer j.mu.Unlock()
	var sockets [2]map[tuple]netns.Socket
	for h, n := range j.world.hosts {
		list, err := n.Sockets()
		if err != nil {
			j.world.t.Errorf("host %d: %v", h, err)
			return
		}
		sockets[h] = byTuple(list, h)
	}
	for _, tr := range j.inOrder {
		if tr.events == 0 {
			continue
		}
		for h := range tr.ends {
			socket := sockets[h][tr.tuple]
			j.sampled(tr, h, sample{
				at: now, events: tr.events, model: tr.ends[h].model, kernel: stateOf(socket),
				socket: socket, process: tr.ends[h].process,
			})
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

// sampled takes in a sample of one endpoint. What the one before has found counts if
// nothing has happened since.
func (j *judge) sampled(tr *track, h int, s sample) {
	x := &tr.ends[h]
	before := x.seen
	x.seen = s
	if s.kernel != conntrack.Closed {
		x.alive, x.spoken, x.gone = s, x.wire.spoke, 0
		x.clear = s.kernel == s.model || x.excuse(&s, false) != ""
	} else if x.gone == 0 {
		x.gone = s.at
	}
	if before.events == s.events {
		j.compare(tr, h, &before)
	}
}

// compare judges a sample that counts.
func (j *judge) compare(tr *track, h int, s *sample) {
	x := &tr.ends[h]
	if s.kernel == s.model {
		j.tally.agreements++
		x.agreed, x.dead = x.wire.touched, -1
		x.row, x.since, x.excused = 0, 0, ""
		return
	}
	j.tally.doubts++
	if x.keepsFin(s) {
		x.agreed = x.wire.touched // as far as the wire can tell
	}
	if x.row == 0 || !s.same(&x.doubt) {
		x.row, x.doubt = 0, *s
	}
	if x.since == 0 {
		x.since = s.at
	}
	x.row++
	if x.row >= standsFor && s.at-x.doubt.at >= stands || s.at-x.since >= standsBusy {
		j.decide(tr, h, s)
	}
}

// decide: the difference stands.
func (j *judge) decide(tr *track, h int, s *sample) {
	x := &tr.ends[h]
	why := x.excuse(s, j.world.round.hosts[h].stack().NoTimeWait)
	switch {
	case why == "":
		j.disagree(tr, h, s)
	case why != x.excused:
		x.excused = why
		j.tally.excuse(why, 1)
	}
	if why != "" {
		x.agreed, x.since = x.wire.touched, 0
	}
}

// maxTold is how many disagreements of one round are told at length.
const maxTold = 2

func (j *judge) disagree(tr *track, h int, s *sample) {
	if tr.told {
		return
	}
	tr.told = true
	if j.failed++; j.failed > maxTold {
		return
	}
	r, x := j.world.round, &tr.ends[h]
	j.world.t.Errorf("seed %d, offload %v, IPv%d, %v: host %d is %v, inferred %v, since %.6f (%.6f in all)\n"+
		"socket: %+v\nhosts: %v\n       %v\nrules:\n%s\nladder (host 0 %v, host 1 %v):\n%s",
		r.seed, r.offload, r.ip, tr.couple, h, s.kernel, s.model, x.doubt.at.Seconds(), x.since.Seconds(),
		s.socket, r.hosts[0], r.hosts[1], r.rules, tr.tuple[0], tr.tuple[1], tr.ladder())
}
