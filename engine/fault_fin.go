package engine

import (
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// finFault ends a direction that its sender has not ended. The FIN stands at the end of
// what that one has sent. Its acknowledgment is kept from the sender, until the
// sender closes there itself: then its FIN is the forged one. What it sends instead is
// passed on behind the FIN, and lost on any TCP.
type finFault struct {
	To rules.Side `rule:"to,primary" doc:"who is made to believe that its peer has closed" required:"true"`
}

var _ = register("fin", "forge a FIN towards an endpoint, and keep the numbers straight afterwards", anytime, func() Fault { return new(finFault) })

func (f *finFault) Apply(j *Journey) {
	for _, to := range sides(f.To) {
		detail := "to " + to.String()
		if f.told(j, to) {
			detail += ": it has got one already"
		} else {
			j.leaveAfter(pending{maker: f, to: to})
		}
		j.tell("fin", func() string { return detail })
	}
}

// told tells whether an endpoint has been given a FIN.
func (f *finFault) told(j *Journey, to conntrack.Dir) bool {
	t := j.flow.translation
	if t == nil {
		return false
	}
	_, has := t.maps[to.Peer()].FIN()
	return has
}

// awaiting are the states in which an endpoint waits for a FIN.
var awaiting = conntrack.StatesOf(conntrack.Established, conntrack.FinWait1, conntrack.FinWait2)

// make forges the FIN towards an endpoint, nil if that waits for none. If the peer has
// sent its own, which did not arrive, it is this one.
func (f *finFault) make(b *Box, c *conntrack.Conn, to conntrack.Dir) *Buf {
	x, peer := c.End(to), c.End(to.Peer())
	if _, known := peer.ISN(); !known || !awaiting.Has(x.State()) {
		return nil
	}
	m := &b.translationOf(c).maps[to.Peer()]
	at, closed := peer.FIN()
	if !closed {
		at = peer.Next()
	}
	n := m.ToReceiver(at)
	if !closed {
		if !m.PutFIN(at) {
			return nil
		}
		c.Edited(to.Peer())
	}
	var room [12]byte
	return b.forge(c, to, wire.Build{
		Seq: uint32(n), Ack: uint32(x.Unacked()), Flags: wire.FIN | wire.ACK, Window: peer.RawWindow(),
		Options: b.appendStamp(room[:0], c, to),
	})
}
