package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A wait is a packet that is held or delayed: one segment, or several that met
// one fate.
type wait struct {
	buf      *Buf // a packet of which the virtual segments [from, to) wait
	from     int
	to       int
	conn     uint32
	ordinal  uint64
	dir      conntrack.Dir
	side     int // where it came in
	rule     *rule
	arrival  uint64
	hold     *holdFault // nil: delayed
	ahead    int        // how many later segments have to leave first; see reorder
	leader   uint32     // place + 1 of the held segment that it stands behind, its own as it goes; 0: none
	ticket   uint32     // tells tickets for this wait from those for others in its place
	span     seq.Range  // the sequence space it occupies
	verdict  Verdict
	kinds    conntrack.Kinds
	maker    maker // makes the packet when it is due, in place of buf
	target   conntrack.Dir
	raw      bool // not a segment of a connection
	fit      bool // see pending
	mods     mods
	numbered numbering
	spans    time.Duration // of what is held: see Journey
}

// A ticket calls a wait as long as that is there.
type ticket struct{ place, ticket uint32 }

const tooMuchWaits = "too much is held or delayed"

// crowded tells that the segment in hand would have to wait, and that too much
// does already.
func (b *Box) crowded(j *Journey) bool {
	waits := j.verdict == Delay || j.verdict == Hold || j.late > 0 || j.flow.order[j.Dir] > b.now
	return waits && j.verdict != Drop && b.full()
}

// maxWaits bounds how many wait, for what waits without a packet as well.
const maxWaits = 1 << 20

// full tells that nothing more can be kept.
func (b *Box) full() bool {
	return b.pool.Held()-b.recorded > b.cfg.MaxWaitBytes || b.stats.Waiting >= maxWaits
}

// putAside puts a run into the queue until it is due.
func (b *Box) putAside(r *run) {
	w := b.waitOf(r)
	w.span = spanOf(&b.packet, r.from, r.to)
	w.buf, w.from, w.to = b.share(r.from, r.to)
	b.enqueue(w, r.due)
}

// waitOf is a wait for what meets the fate of a run.
func (b *Box) waitOf(r *run) wait {
	return wait{
		conn: uint32(r.conn.Index()), ordinal: r.conn.Ordinal(), dir: r.dir, side: b.side,
		rule: r.rule, verdict: Delay, kinds: r.kinds, mods: r.mods, numbered: b.numbering(r.conn),
	}
}

// waitAlone is a wait for the segment in hand, which has met a fate of its own.
func (b *Box) waitAlone(j *Journey, f fate) wait {
	w := b.waitOf(&run{fate: f, mods: j.mods, conn: j.Conn, dir: j.Dir})
	w.span, w.spans = seq.Range{From: j.Seg.Seq, To: j.Seg.End()}, j.spans
	if j.own != nil {
		w.buf, w.from, w.to = j.takeOwn(), 0, 1
	} else {
		w.buf, w.from, w.to = b.share(j.place, j.place+1)
	}
	return w
}

// share gives the virtual segments [from, to) of the packet in hand to somebody
// who keeps them: the packet itself, if they are most of it, else a copy, so
// that a few of them do not tie up the room of all.
func (b *Box) share(from, to int) (buf *Buf, first, end int) {
	p := &b.packet
	n, body, gso := p.Slice(b.head[:], from, to)
	if size := n + len(body); size <= b.buf.n/2 || b.buf.n <= smallBuf {
		buf = b.pool.Get(size)
		buf.n = len(append(append(buf.raw[:0], b.head[:n]...), body...))
		buf.Header = partHeader(b.buf.Header, gso)
		return buf, 0, to - from
	}
	return b.buf.Keep(), from, to
}

// waitAt is the wait at a place.
func (b *Box) waitAt(place uint32) *wait { return b.waits.At(int(place)) }

// never is a due time for what only an event lets go.
const never = time.Duration(-1)

func (b *Box) enqueue(w wait, due time.Duration) (place uint32) {
	if b.freeWaits.Len() > 0 {
		place = b.freeWaits.Pop()
	} else {
		place = uint32(b.waits.Len())
		b.waits.Push(wait{})
	}
	b.arrivals++
	at := b.waitAt(place)
	w.ticket, w.arrival = at.ticket, b.arrivals
	*at = w
	if due != never {
		b.queue.Set(int(place), due)
	}
	b.stats.Waiting += w.size()
	return place
}

// size is how many segments wait in it; what is made later counts as one.
func (w *wait) size() int { return max(w.to-w.from, 1) }

// settle takes a wait out; its buffer goes to the caller.
func (b *Box) settle(place uint32) wait {
	at := b.waitAt(place)
	w := *at
	*at = wait{ticket: w.ticket + 1}
	b.queue.Clear(int(place))
	b.freeWaits.Push(place)
	b.stats.Waiting -= w.size()
	return w
}

// lose ends a wait without an emission.
func (b *Box) lose(place uint32, why Loss) {
	w := b.settle(place)
	b.stats.Losses[why] += uint64(w.size())
	if w.buf != nil {
		w.buf.Free()
	}
}

// Next is when Advance has something to do; ok is false if never. What is past is due now, as an age that
// was reached while the connection seemed to have ended: time does not run backwards.
func (b *Box) Next() (at time.Duration, ok bool) {
	at, ok = b.queue.Next()
	if ringing, set := b.alarms.Next(); set && (!ok || ringing < at) {
		at, ok = ringing, true
	}
	if timer, armed := b.table.NextTimer(); armed && (!ok || timer < at) {
		at, ok = timer, true
	}
	return max(at, b.now), ok
}

// NextEmission is when the next packet that waits is due; ok is false if none
// waits for a time. Unlike Next it leaves the timers of connections out.
func (b *Box) NextEmission() (at time.Duration, ok bool) { return b.queue.Next() }

// How much Advance does at most before packets have their turn: moments of connections,
// at each of which rules may act, and timers of connections that run out.
const (
	maxMoments = 16
	maxExpire  = 256
)

// Advance lets out what is due, and has the rules act whose moments have come, in the order of
// their times; then the timers of connections run out. Where very many moments or
// timers are due it leaves some to the next call: there is more to do as long as Next is not
// after now.
func (b *Box) Advance(now time.Duration) {
	b.now = now
	for moments := 0; ; {
		due, waits := b.queue.Next()
		at, rings := b.alarms.Next()
		waits, rings = waits && due <= now, rings && at <= now && moments < maxMoments
		switch {
		case rings && (!waits || at < due):
			b.ring()
			moments++
		case waits:
			b.letOut(due)
		default:
			b.table.Expire(now, maxExpire)
			return
		}
	}
}

// letOut ends the wait that is due first.
func (b *Box) letOut(due time.Duration) {
	place, _ := b.queue.Pop(due)
	b.stats.Lateness.note(b.now - due)
	b.expired(uint32(place))
	b.settleOwed()
}

// expired: the due time of a delayed segment, or the timeout of a held one.
func (b *Box) expired(place uint32) {
	if b.waitAt(place).hold != nil {
		b.timedOut(place)
		return
	}
	b.leave(b.settle(place))
}

// flowAt is the flow that a wait belongs to: that of its connection, or of a
// later incarnation which has taken over what was held.
func (b *Box) flowAt(w *wait) *flow {
	c, _ := b.connOf(w)
	if c == nil {
		return nil
	}
	return b.flowOf(c)
}

// connOf is the current connection on a wait's 4-tuple.
func (b *Box) connOf(w *wait) (*conntrack.Conn, conntrack.Dir) {
	switch {
	case w.buf == nil:
		if c := b.table.At(int(w.conn)); c != nil && c.Ordinal() == w.ordinal {
			return c, w.dir
		}
		return nil, 0
	case w.raw:
		_, c, to := b.errorAbout(w.buf.Bytes())
		return c, to.Peer()
	}
	var p wire.Packet
	if p.Parse(w.buf.Bytes(), w.buf.Header.GSO(), w.buf.Header.Partial()) != wire.OK {
		return nil, 0
	}
	return b.table.FindPacket(&p)
}
