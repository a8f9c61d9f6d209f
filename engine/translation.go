package engine

import (
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/remap"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A translation keeps both directions of a connection straight, for its life, after
// numbers were shifted, or bytes or a FIN put in or taken out. Within the Box every
// segment has the numbers of its sender: rules, holds and recordings. It is
// translated as it leaves, with the maps as they are then.
type translation struct {
	maps   [2]remap.Map // by the sender of what they number
	stamps [2]uint32    // what is added to its timestamps
	moved  []moved      // shifts that have been made
	stuck  [2]stuck
	client int  // the device behind which the client is
	over   bool // its connection has gone: it is for what is late from there
}

// A numbering says whose numbers a packet that waits has: those of their senders on a
// connection. The zero numbering is for what has its receiver's.
type numbering struct {
	conn uint64       // its ordinal; 0: none
	then *translation // that the connection had when the packet came in, nil if none
}

// numbering is that of a packet that has come in on a connection.
func (b *Box) numbering(c *conntrack.Conn) numbering { return numbering{c.Ordinal(), b.translated(c)} }

// translationFor is the translation of a packet that leaves into a connection, nil if
// its numbers stay. What is late from an earlier incarnation has the numbers that it would have
// had there.
func (b *Box) translationFor(n numbering, c *conntrack.Conn) *translation {
	switch {
	case c == nil:
		return nil
	case n.conn == c.Ordinal():
		return b.translated(c)
	case n.then != nil:
		n.then.turnTo(c)
	}
	return n.then
}

// turnTo names the directions as a later incarnation does, which the other endpoint may have opened.
func (t *translation) turnTo(c *conntrack.Conn) {
	if client := c.Side(conntrack.FromClient); client != t.client {
		t.client = client
		t.maps[0], t.maps[1] = t.maps[1], t.maps[0]
		t.stamps[0], t.stamps[1] = t.stamps[1], t.stamps[0]
	}
}

// moved names a shift: which is made once, however often its rule fires.
type moved struct {
	rule  string
	dir   conntrack.Dir
	stamp bool // of timestamps, not of numbers
}

// A stuck direction has a segment that found no room in its map; nothing that lies
// behind it goes until it has come again.
type stuck struct {
	at seq.Num
	is bool
}

// translationOf is the translation of a connection, a new one if it has none yet. What is
// on its way out has left before that: whoever asks is about to change it.
func (b *Box) translationOf(c *conntrack.Conn) *translation {
	b.flush()
	f := b.flowOf(c)
	if f == nil {
		f = b.newFlow(c)
	}
	if f.translation == nil {
		f.translation = &translation{client: c.Side(conntrack.FromClient)}
	}
	return f.translation
}

// translated is the translation of a connection, nil if there is none.
func (b *Box) translated(c *conntrack.Conn) *translation {
	if f := b.flowOf(c); f != nil {
		return f.translation
	}
	return nil
}

// blocks tells whether the segment in hand lies behind one that is stuck. That one is
// judged anew when it comes again.
func (t *translation) blocks(j *Journey) bool {
	if t == nil || !t.stuck[j.Dir].is || j.Seg.End() == j.Seg.Seq {
		return false
	}
	s := &t.stuck[j.Dir]
	if j.Seg.Seq.LessEq(s.at) {
		s.is = !s.at.Less(j.Seg.End())
		return false
	}
	return true
}

// number moves what a packet in direction d says of its peer's numbers and of
// timestamps to where its receiver has them. got is the end of what its sender has received.
func (t *translation) number(p *wire.Packet, d conntrack.Dir, got seq.Num) {
	acks := p.Flags().Has(wire.ACK)
	if back := &t.maps[d.Peer()]; acks && !back.Identity() {
		ack := p.Ack()
		p.SetAck(back.ToSender(ack))
		p.MapSACK(back.Block)
		if !t.over {
			back.Acked(seq.Min(ack, got))
		}
	}
	if t.stamps[0]|t.stamps[1] == 0 {
		return
	}
	if val, echo, ok := p.Timestamps(); ok {
		if acks && echo != 0 { // RFC 7323, section 3.2: without ACK it is not valid, and 0
			echo -= t.stamps[d.Peer()]
		}
		p.SetTimestamps(val+t.stamps[d], echo)
	}
}
