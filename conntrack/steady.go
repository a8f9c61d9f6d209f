package conntrack

import "github.com/tcpmangle/tcpmangle/internal/wire"

// Steady tells whether a train of segments moves nothing on a connection but the two
// ends of one stream, so that Sent and Delivered come to the same whether they are told
// of each segment or of all as one. The segments are alike but for their numbers: s
// is the first, and they take size bytes of sequence space together. kinds are those of
// each of them.
func (c *Conn) Steady(d Dir, s *Segment, size uint32) (kinds Kinds, ok bool) {
	x, y := &c.ends[d], &c.ends[d.Peer()]
	switch {
	case s.Flags&^wire.PSH != wire.ACK || s.Len < 2: // a single byte may be a probe
	case x.state != Established || y.state != Established || c.old[d].Len() != 0:
	case s.Seq != x.nxt || s.Seq != y.rcv || y.ooo.n > 0 || y.has(heardFin):
	case !s.Seq.Add(size).LessEq(y.rcv.Add(y.Window())) || y.tooOld(s, 0):
	case s.Ack.Less(y.una) || y.nxt.Less(s.Ack):
	default:
		return c.classify(d, s), true
	}
	return 0, false
}
