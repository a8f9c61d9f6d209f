package engine

import (
	"fmt"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// injectFault forges a segment that seems to come from an endpoint's peer. Its
// numbers are counted from those that the peer would use: SEG.SEQ from where the
// endpoint waits, SEG.ACK from what of its stream has reached the peer. Data and a FIN at
// exactly the number where it waits become a part of the stream, and later numbers
// are translated, unless the endpoint refuses them since they acknowledge what it has not
// sent; anything else is just a segment.
type injectFault struct {
	To      rules.Side      `rule:"to,primary" doc:"whose kernel gets it" required:"true"`
	Flags   rules.Flags     `rule:"flags" doc:"letters of FSRPAUEC" default:"A"`
	Seq     offset          `rule:"seq" doc:"exact, or so far from where the endpoint waits" default:"exact"`
	Ack     offset          `rule:"ack" doc:"exact, or so far from what its peer has received" default:"exact"`
	Data    string          `rule:"data" doc:"the payload" empty:"true"`
	Window  *uint16         `rule:"window" doc:"the window field, unscaled; by default the one that the peer has sent last"`
	Options []segmentOption `rule:"options" doc:"TCP options in this order: timestamps, mss=N, wscale=N, sack-permitted, nop, or KIND:HEX as in 254:f989cafe"`
	After   time.Duration   `rule:"after" doc:"how long after the rule has fired" default:"0s"`
}

var _ = register("inject", "forge any segment towards one endpoint", anytime, func() Fault { return new(injectFault) })

// Check refuses what fits into no segment.
func (f *injectFault) Check() []rules.Problem {
	size := 0
	for _, o := range f.Options {
		size += o.size()
	}
	switch {
	case size > mostOptions:
		return []rules.Problem{{Key: "options", Err: fmt.Sprintf("they take %d bytes; a header has room for %d", size, mostOptions)}}
	case len(f.Data) > mostWith:
		return []rules.Problem{{Key: "data", Err: fmt.Sprintf("has %d bytes; at most %d fit", len(f.Data), mostWith)}}
	}
	return nil
}

func (f *injectFault) Apply(j *Journey) {
	for _, to := range sides(f.To) {
		j.leaveAfter(pending{maker: f, to: to, after: f.After})
	}
	j.tell("inject", func() string {
		return fmt.Sprintf("%s to %v, seq %v, ack %v, %d bytes", f.Flags, f.To, f.Seq, f.Ack, len(f.Data))
	})
}

// make forges the segment towards an endpoint, nil if the stream has no room for it.
func (f *injectFault) make(b *Box, c *conntrack.Conn, to conntrack.Dir) *Buf {
	x, peer := c.End(to), c.End(to.Peer())
	n, ack := awaited(c, to), b.reached(c, to).Add(uint32(f.Ack))
	refused := x.Next().Less(ack)
	if f.joins(x) && !refused && !f.join(b, c, to, n) {
		return nil
	}
	s := wire.Build{
		Seq: uint32(n) + uint32(f.Seq), Ack: uint32(ack),
		Flags: wire.Flags(f.Flags), Window: peer.RawWindow(), Payload: []byte(f.Data),
	}
	if f.Window != nil {
		s.Window = *f.Window
	}
	for _, o := range f.Options {
		s.Options = o.appendTo(s.Options, b, c, to)
	}
	return b.forge(c, to, s)
}

// awaited is the number that an endpoint waits for; in SYN_SENT that is the one of its
// peer's SYN, if there is one.
func awaited(c *conntrack.Conn, to conntrack.Dir) seq.Num {
	x := c.End(to)
	if _, got := x.PeerISN(); got {
		return x.Received()
	}
	isn, known := c.SeenISN(to.Peer())
	if !known {
		return 0
	}
	return isn
}

// reached is how far an endpoint's stream has got to its peer, in its own numbers: all
// that it has sent, if the peer knows nothing of the connection.
func (b *Box) reached(c *conntrack.Conn, to conntrack.Dir) seq.Num {
	x, peer := c.End(to), c.End(to.Peer())
	if _, got := peer.PeerISN(); !got {
		return x.Next()
	}
	if t := b.translated(c); t != nil {
		return t.maps[to].ToSender(peer.Received())
	}
	return peer.Received()
}

// joins tells whether the segment becomes a part of the stream towards x.
func (f *injectFault) joins(x *conntrack.Endpoint) bool {
	const refused = rules.SYN | rules.RST
	carries := len(f.Data) > 0 || f.Flags&rules.FIN != 0
	return carries && f.Seq == 0 && f.Flags&refused == 0 && awaiting.Has(x.State())
}

// join puts data and FIN into the stream at the number n. It is false where they would
// stand in the way of what x has received already, beyond a hole.
func (f *injectFault) join(b *Box, c *conntrack.Conn, to conntrack.Dir, n seq.Num) bool {
	x, from := c.End(to), to.Peer()
	m := &b.translationOf(c).maps[from]
	at := m.ToSender(n)
	if x.Highest() != n || m.ToReceiver(at) != n {
		return false
	}
	if len(f.Data) > 0 && !m.Replace(at, 0, f.Data) {
		return false
	}
	c.Edited(from)
	if fin, closed := c.End(from).FIN(); f.Flags&rules.FIN != 0 && !(closed && fin == at) {
		return m.PutFIN(at)
	}
	return true
}
