package integration

import (
	"net/netip"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// A tuple is a 4-tuple by host.
type tuple [2]netip.AddrPort

// A track is what the judge knows of one 4-tuple.
type track struct {
	couple *couple
	tuple  tuple
	events int // of the box, so far
	ends   [2]end
	log    []entry
	told   bool // a disagreement on it
}

// An entry is a line of the ladder: an event of the box, or what an actor did.
type entry struct {
	at    time.Duration
	event engine.Event
	note  string
}

// An end is one endpoint of a track, by host.
type end struct {
	model   conntrack.State
	wire    wireFacts
	process processFacts

	seen    sample        // the last look
	alive   sample        // the last one that found a socket
	spoken  int           // wire.spoke then
	clear   bool          // there was no difference then, as far as the wire could tell
	gone    time.Duration // when the first one after that found none; 0 none has
	doubt   sample        // the first of a row of looks that found one and the same difference
	row     int           // how many
	since   time.Duration // when a difference was found first, since both agreed; 0 none
	agreed  int           // wire.touched, when both agreed last, as far as the wire can tell
	dead    int           // wire.spoke, when it was found to have ended in silence; -1 it has not
	excused excuse        // counted last

	late bool // its process had closed when the peer's FIN came, and its FIN had not left
}

// wireFacts are what the events tell of an endpoint, without any inference.
type wireFacts struct {
	touched int           // how often a segment was sent by it or delivered to it
	spoke   int           // how often it has sent what it would not without a socket
	given   int           // how often one was delivered to it
	givenAt time.Duration // and when last
	silent  bool          // it has sent nothing since
	rst     int           // touched, when a RST was delivered to it last
	rstAt   time.Duration // and when that was
	synAt   time.Duration // when it sent a new SYN last
	givenTo int           // the end of the data that was

	// Since its last SYN:
	fin       bool          // it has sent a FIN
	finTaken  time.Duration // when it took the peer's FIN and was in CLOSE_WAIT; 0 never
	finAgain  time.Duration // when it sent its FIN again; 0 never
	acked     int           // what it has acknowledged
	rstBeyond bool          // a RST was delivered to it at the end of the data, beyond a hole
	shut      bool          // its window is closed
	opened    time.Duration // when it has opened a closed one; 0 never
	noMemory  bool          // it has closed its window before what was delivered, and sent no FIN since that shows what it has refused
}

// processFacts are what its process has done with it.
type processFacts struct {
	quit    bool          // closed or shut down
	closed  bool          // closed
	aborted bool          // closed with SO_LINGER 0
	quitAt  time.Duration // when it did either first
	shutAt  time.Duration // when it closed, if it has
	given   int           // wireFacts.given when it did either last
}

// A sample is one look at an endpoint.
type sample struct {
	at      time.Duration
	events  int
	model   conntrack.State
	kernel  conntrack.State
	socket  netns.Socket
	process processFacts
}

func (s *sample) same(o *sample) bool {
	return s.events == o.events && s.model == o.model && s.kernel == o.kernel
}

// hear takes in an event about the 4-tuple; client is the host of the client.
func (tr *track) hear(e *engine.Event, client int) {
	tr.events++
	tr.log = append(tr.log, entry{at: e.Time, event: e.Clone()})
	tr.ends[client].infer(e.ClientState, e.Time)
	tr.ends[1-client].infer(e.ServerState, e.Time)
	if e.Type != engine.EventSegment && e.Type != engine.EventDeliver {
		return
	}
	if e.Type == engine.EventSegment && e.Verdict != engine.Forged && !e.Kinds.Has(conntrack.KindICMP) {
		tr.sent(e)
	}
	if e.Type == engine.EventDeliver || e.Verdict == engine.Pass || e.Verdict == engine.Forged {
		tr.ends[1-e.FromSide].wire.delivered(e)
	}
}

func (x *end) infer(s conntrack.State, at time.Duration) {
	if s == conntrack.CloseWait && x.model != s {
		x.wire.finTaken = at
	}
	x.model = s
}

func (tr *track) sent(e *engine.Event) {
	x := &tr.ends[e.FromSide]
	rst := strings.Contains(e.Flags, "R")
	x.wire.touched++
	x.wire.silent = false
	if !rst {
		x.wire.offers(e)
	}
	if !rst || x.model != conntrack.SynSent { // else it answers what is for nobody, socket or not
		x.wire.spoke++
	}
	switch {
	case strings.Contains(e.Flags, "S"):
		if !e.Kinds.Has(conntrack.KindRetransmission) {
			x.wire.synAt = e.Time
		}
		x.wire.fin, x.wire.noMemory, x.late = false, false, false
		x.wire.finTaken, x.wire.finAgain, x.wire.opened, x.wire.givenTo = 0, 0, 0, 0
		x.wire.acked, x.wire.rstBeyond = 0, false
	case strings.Contains(e.Flags, "F") && !rst && !e.Kinds.Has(conntrack.KindStale):
		x.late = x.late || x.process.quit && x.process.quitAt < x.wire.finTaken && !x.wire.fin
		if x.wire.fin {
			x.wire.finAgain = e.Time
		}
		crossed := soonAfter(e.Time, x.wire.givenAt) // and so no proof to the model
		x.wire.fin, x.wire.noMemory = true, x.wire.noMemory && crossed
	case e.Kinds.Has(conntrack.KindAck):
		x.wire.noMemory = x.wire.noMemory || e.Win == 0 && int(e.Ack) < x.wire.givenTo
	}
}

// offers notes what it acknowledges, and whether its window is closed.
func (w *wireFacts) offers(e *engine.Event) {
	w.acked = int(e.Ack)
	if w.shut && e.Win > 0 {
		w.opened = e.Time
	}
	w.shut = e.Win == 0
}

func (w *wireFacts) delivered(e *engine.Event) {
	w.touched++
	w.given++
	w.givenAt, w.silent = e.Time, true
	switch {
	case e.Kinds.Has(conntrack.KindICMP):
		return
	case strings.Contains(e.Flags, "R"):
		w.rst, w.rstAt = w.touched, e.Time
		w.rstBeyond = w.rstBeyond || int(e.Seq) == w.givenTo && w.acked < w.givenTo
		return
	case int32(e.Seq) < 0: // of the incarnation before
		return
	}
	w.givenTo = max(w.givenTo, int(e.Seq)+e.Len)
}
