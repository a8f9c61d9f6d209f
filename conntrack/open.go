package conntrack

import (
	"time"

	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// reborn tells whether a segment begins a new incarnation: a SYN with a new
// number from an endpoint that is not just opening.
func (st *step) reborn(d Dir, s *Segment) bool {
	c, x, y := st.c, &st.c.ends[d], &st.c.ends[d.Peer()]
	if s.Flags&(wire.SYN|wire.ACK|wire.RST) != wire.SYN {
		return false
	}
	if x.has(sentSyn) && !x.has(prior) {
		// Who had no answer may be thought to have given up, and go on; and a SYN may
		// have crossed the RST that refuses it.
		return s.Seq != x.iss || c.gone && !x.has(doubted) && (x.has(gotSyn) || x.gap == 0) && !st.crossed(x)
	}
	return y.state != SynSent // else both open at once
}

// open begins a connection with a segment, in place of old if there is one.
func (t *Table) open(now time.Duration, side int, k Key, fromLow bool, s *Segment, old *Conn) *Conn {
	if old == nil && t.count >= t.cfg.Max {
		t.evict(now)
	}
	c := t.take()
	t.opened++
	*c = Conn{
		key: k, index: c.index, ordinal: t.opened, incarnation: 1,
		opened: now, seen: now, clientLow: fromLow, clientSide: uint8(side),
	}
	sender := senderRole(k, fromLow, s)
	if sender == FromServer {
		c.clientLow, c.clientSide = !fromLow, uint8(1-side)
	}
	if s.Flags&(wire.SYN|wire.ACK) != wire.SYN {
		c.pickUp(sender, s)
	}
	if old != nil {
		c.inherit(old)
	}
	t.cfg.Observer.Opened(c, old)
	if old != nil {
		if !old.gone {
			t.cfg.Observer.Closed(old, Superseded)
		}
		t.remove(old)
	}
	t.insert(c)
	t.file(now, c)
	st := step{t, c, now}
	st.arm(FromServer) // an earlier incarnation's socket brings its timer along
	return c
}

// senderRole guesses who the client is from the first segment: without a bare
// SYN the end with the lower port is taken for the server.
func senderRole(k Key, fromLow bool, s *Segment) Dir {
	if s.has(wire.SYN) {
		if s.has(wire.ACK) {
			return FromServer
		}
		return FromClient
	}
	mine, other := k.lowPort, k.highPort
	if !fromLow {
		mine, other = other, mine
	}
	if mine < other {
		return FromServer
	}
	return FromClient
}

// pickUp begins a connection whose first SYN was not seen. What an endpoint
// accepts is unknown then, so its window is taken to be as wide as can be.
func (c *Conn) pickUp(sender Dir, s *Segment) {
	c.pickedUp = true
	if s.has(wire.SYN) {
		c.ends[FromClient] = Endpoint{
			state: SynSent, facts: sentSyn | offersScale | offersTS | offersSACK,
			iss: s.Ack.Add(minusOne), una: s.Ack.Add(minusOne), nxt: s.Ack,
			scale: maxScale, wnd: 0xffff, tsRecent: s.TSEcr,
		}
		return
	}
	x, y := &c.ends[sender], &c.ends[sender.Peer()]
	x.state, y.state = Established, Established
	x.pickUp(s)
	y.pickUp(&Segment{Seq: s.Ack, HasTS: s.HasTS})
	y.hasReceived(s.Seq)
	y.edge = y.rcv.Add(widest)
}

// inherit takes over from the incarnation before: its peer may still have the
// old socket, and its numbers tell which segments are stale.
func (c *Conn) inherit(old *Conn) {
	c.incarnation = old.incarnation + 1
	for d := range c.ends {
		was := d
		if old.clientLow != c.clientLow {
			was = 1 - d
		}
		e := &old.ends[was]
		if e.has(sentSyn) && !e.has(prior) {
			c.old[d] = seq.Range{From: e.iss, To: e.nxt}
		} else {
			c.old[d] = old.old[was]
		}
		switch {
		case Dir(d) == FromClient:
		case e.state == Closed:
			c.ends[d].moved = e.moved // its last words may be under way
		default:
			c.ends[d] = *e
			c.ends[d].set(prior)
			c.synAckTS = old.synAckTS
		}
	}
}
