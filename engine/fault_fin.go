package engine

import (
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// finFault ends a direction that its sender has not ended. The FIN stands at the end of
// what that one has sent. Its acknowledgment is kept from the sender, until the
// sender closes there itself: then its FIN is the forged one. What it sends instead is
// passed on behind the FIN, and lost on any TCP.
//
// The box has no retransmission timer. Where the network behind it loses the FIN, nobody sends
// that again until the action acts once more, after the endpoint has shown by an acknowledgment
// that it lacks the FIN, or until the sender closes.
type finFault struct {
	To rules.Side `rule:"to,primary" doc:"who is made to believe that its peer has closed; a FIN that has not arrived is sent again if the action acts again" required:"true"`
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

// told tells whether an endpoint has got the FIN, as far as its acknowledgments say.
func (f *finFault) told(j *Journey, to conntrack.Dir) bool {
	t := j.flow.translation
	if t == nil {
		return false
	}
	n, has := t.maps[to.Peer()].FIN()
	return has && j.Conn.End(to).Got(n)
}

// awaiting are the states in which an endpoint waits for a FIN.
var awaiting = conntrack.StatesOf(conntrack.Established, conntrack.FinWait1, conntrack.FinWait2)

// make forges the FIN towards an endpoint, nil if that waits for none.
func (f *finFault) make(b *Box, c *conntrack.Conn, to conntrack.Dir) *Buf {
	x, peer := c.End(to), c.End(to.Peer())
	if _, known := peer.ISN(); !known || !awaiting.Has(x.State()) {
		return nil
	}
	n, ok := f.number(b, c, to)
	if !ok {
		return nil
	}
	var room [12]byte
	return b.forge(c, to, wire.Build{
		Seq: uint32(n), Ack: uint32(x.Unacked()), Flags: wire.FIN | wire.ACK, Window: peer.RawWindow(),
		Options: b.appendStamp(room[:0], c, to),
	})
}

// number is the FIN's: that of one which was forged before and has not arrived, or which the
// peer has sent itself and has not arrived, or of a new one.
func (f *finFault) number(b *Box, c *conntrack.Conn, to conntrack.Dir) (n seq.Num, ok bool) {
	x, peer := c.End(to), c.End(to.Peer())
	m := &b.translationOf(c).maps[to.Peer()]
	if n, has := m.FIN(); has {
		return n, !x.Got(n)
	}
	if at, closed := peer.FIN(); closed {
		return m.ToReceiver(at), true
	}
	if !m.PutFIN(peer.Next()) {
		return 0, false
	}
	c.Edited(to.Peer())
	return m.FIN()
}
