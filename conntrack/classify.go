package conntrack

import (
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// classify names the kinds of a segment that x is about to send on c, from
// what is known before it.
func (c *Conn) classify(d Dir, s *Segment) (k Kinds) {
	x := &c.ends[d]
	k = PlainKinds(s)
	if c.isStale(d, s) {
		return k | KindsOf(KindStale) | x.classifyAnswer(s)
	}
	if k.Has(KindFin) {
		k |= c.classifyFin(d)
	}
	if s.has(wire.ACK) && !s.has(wire.RST) && c.coversFin(d, s.Ack) {
		k |= c.classifyAckOfFin(d)
	}
	if probe := x.classifyProbe(s); probe != 0 {
		return k | probe
	}
	if s.bare() {
		k |= c.classifyAck(d, s)
	}
	if s.has(wire.SYN|wire.FIN) || s.Len > 0 {
		k |= x.classifySpan(s)
	}
	return k
}

// PlainKinds are the kinds that a segment has by itself, whatever it belongs to.
func PlainKinds(s *Segment) (k Kinds) {
	switch {
	case s.has(wire.RST):
		k |= KindsOf(KindRst)
	case s.has(wire.SYN) && s.has(wire.ACK):
		k |= KindsOf(KindSynAck)
	case s.has(wire.SYN):
		k |= KindsOf(KindSyn)
	case s.bare():
		k |= KindsOf(KindAck)
	}
	if s.has(wire.FIN) && !s.has(wire.RST) {
		k |= KindsOf(KindFin)
	}
	if s.Len > 0 {
		k |= KindsOf(KindData)
	}
	return k
}

// coversFin tells whether an acknowledgment by an endpoint covers its peer's FIN.
func (c *Conn) coversFin(d Dir, ack seq.Num) bool {
	x, y := &c.ends[d], &c.ends[d.Peer()]
	if x.facts&(heardFin|metFin) == 0 {
		passedBy := y.has(sentFin) && !y.has(prior) && !x.has(prior) && c.edited>>d.Peer()&1 == 0
		if !passedBy {
			return false
		}
	}
	return c.finFor(d).Less(ack)
}

// finFor is the number of the FIN that an endpoint has been given or, if we know of
// none, of the one that its peer has sent: it may have gone by unseen.
func (c *Conn) finFor(d Dir) seq.Num {
	if x := &c.ends[d]; x.facts&(heardFin|metFin) != 0 {
		return x.finAt
	}
	return c.ends[d.Peer()].fin.Add(c.shift[d.Peer()])
}

func (c *Conn) classifyFin(d Dir) Kinds {
	if c.closers == 0 || c.closer == d {
		return KindsOf(KindFirstFin)
	}
	return KindsOf(KindSecondFin)
}

// classifyAckOfFin: the last ACK is what lets an endpoint leave LAST_ACK. In a
// simultaneous close each side's acknowledgment of the other's FIN is one.
func (c *Conn) classifyAckOfFin(d Dir) Kinds {
	second := c.closer == d && c.ends[d].has(sentFin) && c.ends[d.Peer()].has(sentFin)
	if second || c.simClose {
		return KindsOf(KindAckOfFin, KindLastAck)
	}
	return KindsOf(KindAckOfFin)
}

// classifyProbe recognises keepalives and window probes, which Linux sends
// with a number one below what it would send next (tcp_xmit_probe_skb).
func (x *Endpoint) classifyProbe(s *Segment) Kinds {
	if !x.state.Synchronized() || s.Flags&(wire.SYN|wire.FIN|wire.RST|wire.ACK) != wire.ACK || s.Len > 1 {
		return 0
	}
	below := s.Seq.Add(1)
	switch {
	case x.peerWnd == 0 && (below == x.una || s.Len == 1 && s.Seq == x.una):
		return KindsOf(KindWindowProbe)
	case below == x.nxt && x.una == x.nxt:
		return KindsOf(KindKeepalive)
	}
	return 0
}

// classifyAck sorts the segments that carry nothing.
func (c *Conn) classifyAck(d Dir, s *Segment) (k Kinds) {
	x, y := &c.ends[d], &c.ends[d.Peer()]
	if d == FromClient && y.state == SynRcvd && y.has(sentSyn) && (!x.has(gotSyn) || s.Ack == x.irs.Add(1)) {
		k |= KindsOf(KindHandshakeAck)
	}
	if x.has(sentAck) && s.Ack == x.acked {
		if s.Window == x.rawWnd {
			k |= KindsOf(KindDupAck)
		} else {
			k |= KindsOf(KindWindowUpdate)
		}
	}
	return k | x.classifyAnswer(s)
}

// classifyAnswer recognises the answers to segments that the model saw the
// endpoint refuse.
func (x *Endpoint) classifyAnswer(s *Segment) (k Kinds) {
	if !s.bare() {
		return 0
	}
	if x.has(probed) {
		k |= KindsOf(KindKeepaliveAck)
	}
	if x.has(challenged) {
		k |= KindsOf(KindChallengeAck)
	}
	return k
}

// classifySpan places the segment in the sequence space its sender has used.
func (x *Endpoint) classifySpan(s *Segment) Kinds {
	switch {
	case !x.has(sentSyn) || x.has(prior):
		return 0
	case s.Seq.Less(x.nxt):
		return KindsOf(KindRetransmission)
	case x.nxt.Less(s.Seq):
		return KindsOf(KindOutOfOrder)
	}
	return 0
}

// isStale tells whether the segment belongs to the incarnation before this
// one: the endpoint is still the old one, or the numbers are.
func (c *Conn) isStale(d Dir, s *Segment) bool {
	x := &c.ends[d]
	switch {
	case x.has(prior):
		return !c.answers(d, s)
	case !x.has(sentSyn) && !s.has(wire.SYN|wire.RST):
		return c.foreign(d, s)
	}
	return c.hasOldNumbers(d, s)
}

// hasOldNumbers tells whether a segment lies where its sender was in the
// incarnation before, and not where it is in this one.
func (c *Conn) hasOldNumbers(d Dir, s *Segment) bool {
	x, old := &c.ends[d], c.old[d]
	if old.From == old.To || s.has(wire.SYN) || !x.has(sentSyn) || x.has(prior) {
		return false
	}
	return seq.InRange(s.Seq, old.From, old.To.Add(1)) && !seq.InRange(s.Seq, x.iss, x.nxt.Add(1))
}

// answers tells whether a segment from a host that was thought to have the old
// socket still speaks to its peer's SYN: it takes it, refuses it, or opens as well.
func (c *Conn) answers(d Dir, s *Segment) bool {
	switch {
	case s.has(wire.SYN) && !s.has(wire.ACK):
		return true
	case s.has(wire.SYN | wire.RST):
		isn, _ := c.SeenISN(d.Peer())
		return s.has(wire.ACK) && s.Ack == isn.Add(1)
	}
	return false
}
