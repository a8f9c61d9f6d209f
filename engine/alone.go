package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A body is what leaves of a segment whose payload is not what it was.
type body struct {
	start   seq.Num // for its receiver
	payload []byte
	flags   wire.Flags
}

// departAlone lets out a segment that is cut, or that an edit of its content lies in.
func (b *Box) departAlone(g *departure, i int) (left bool) {
	g.close(i)
	s := g.packet.At(i)
	rest := b.bodyOf(g, s)
	emptied := s.Len > 0 && len(rest.payload) == 0 && rest.flags&(wire.FIN|wire.SYN|wire.RST) == 0
	if emptied {
		rest.flags &^= wire.PSH
	}
	size := g.pieceSize(s, &rest)
	for n := 0; n == 0 || len(rest.payload) > 0; n++ {
		one := rest.take(n == 0, g.mostAtOnce(size))
		g.packet.Part(&b.part, b.partHead[:], i, i+1)
		b.fill(g, &one, size)
		if n > 0 && g.apart > 0 && !b.full() {
			b.putOff(g, time.Duration(n)*g.apart)
			continue
		}
		left = b.send(g) || left
	}
	if emptied {
		b.acknowledge(g, s.End())
	}
	return left
}

// bodyOf is what is left of a segment: of what it keeps if it is truncated, with the
// edits of the stream that lie in it.
func (b *Box) bodyOf(g *departure, s wire.Segment) body {
	is := body{s.Seq, g.packet.Payload()[s.Off : s.Off+s.Len], s.Flags}
	r := seq.Range{From: s.Seq, To: s.End()}
	if keep := int(g.keep); g.truncated && keep < s.Len {
		r.To = s.Seq.Add(s.SegLen() - uint32(s.Len-keep) - uint32(s.Flags&wire.FIN))
		is.payload, is.flags = is.payload[:keep], is.flags&^wire.FIN
	}
	if g.translation == nil {
		return is
	}
	m := &g.translation.maps[g.dir]
	if m.Plain(r) {
		is.start = m.ToReceiver(s.Seq)
		return is
	}
	syn := uint32(s.Flags&wire.SYN) >> 1 // stands before the payload, and in no edit
	r.From = r.From.Add(syn)
	short := false
	is.start, b.edited, short = m.Edit(b.edited[:0], r, is.payload)
	is.start = is.start.Add(-syn)
	if is.payload = b.edited; short {
		is.flags &^= wire.FIN
	}
	return is
}

// leastMSS is what every host takes in one segment (RFC 9293, section 3.7.1).
const leastMSS = 536

// mostBody is the payload of the largest packet.
const mostBody = 65535 - wire.MaxHeader

// pieceSize is into how large pieces a body is cut: those that are asked for, or what
// the sender itself thought fit if it has grown. It is 0 if it leaves whole.
func (g *departure) pieceSize(s wire.Segment, is *body) int {
	size := int(g.split)
	if size == 0 {
		size = max(s.Len, leastMSS)
	}
	if g.spoiled || (g.set|is.flags)&(wire.SYN|wire.RST) != 0 || len(is.payload) <= size {
		return 0
	}
	return size
}

// mostAtOnce is the payload of the largest packet that may leave: as many whole pieces as it holds, or one, where
// they are to be apart.
func (g *departure) mostAtOnce(size int) int {
	switch {
	case size == 0 || size >= mostBody:
		return mostBody
	case g.apart > 0:
		return size
	}
	return mostBody - mostBody%size
}

// take takes off what leaves at once.
func (is *body) take(first bool, most int) (one body) {
	one = *is
	if !first {
		one.flags &^= wire.CWR
	}
	if len(is.payload) > most {
		one.payload = is.payload[:most]
		one.flags &^= wire.FIN | wire.PSH
	}
	is.payload = is.payload[len(one.payload):]
	is.start = is.start.Add(uint32(len(one.payload)))
	return one
}

// putOff has b.part, which is finished, wait for a time of its own. What comes meanwhile leaves
// after it.
func (b *Box) putOff(g *departure, after time.Duration) {
	p, w := &b.part, wait{to: 1, dir: g.dir, side: 1 - g.side, verdict: Delay}
	if g.wait != nil {
		w.verdict, w.kinds, w.rule = g.wait.verdict, g.wait.kinds, g.wait.rule
	} else {
		w.kinds, w.rule = b.journey.Kinds, b.journey.cutter
	}
	w.buf = b.pool.Get(p.HeaderLen() + p.PayloadLen())
	w.buf.n = len(append(append(w.buf.raw[:0], p.Headers()...), p.Payload()...))
	w.buf.Header = headerOf(p, g.header)
	b.enqueue(w, b.now+after)
	if g.conn == nil || w.verdict == Forged {
		return
	}
	if f := b.flowOf(g.conn); f != nil {
		f.order[g.dir] = max(f.order[g.dir], b.now+after+g.apart)
	}
}

// fill completes b.part, which is the segment as it was, with what is left of it. As long as
// that is all, its checksum stays as wrong as it was.
func (b *Box) fill(g *departure, is *body, size int) {
	p := &b.part
	p.SetFlags(is.flags)
	same := size == 0 && len(is.payload) == p.PayloadLen() &&
		(len(is.payload) == 0 || &is.payload[0] == &p.Payload()[0])
	if !same {
		p.Refill(is.payload, size)
	}
	g.finish(p, is.start)
	if !same && g.spoiled {
		p.SpoilChecksum()
	}
}

// acknowledge answers for the receiver of a segment of which nothing is left: it will
// not. That has a meaning once the receiver has all before it.
func (b *Box) acknowledge(g *departure, end seq.Num) {
	if g.translation == nil || g.translation.over {
		return
	}
	if got := g.conn.End(g.dir.Peer()).Received(); g.translation.maps[g.dir].ToSender(got).Less(end) {
		return
	}
	b.owed = append(b.owed, wait{
		maker: acknowledger{}, target: g.dir, verdict: Forged,
		conn: uint32(g.conn.Index()), ordinal: g.conn.Ordinal(),
	})
}

// settleOwed lets the acknowledgments go that are owed for segments which have left.
func (b *Box) settleOwed() {
	if len(b.owed) == 0 {
		return
	}
	b.flush()
	for _, w := range b.owed {
		b.leave(w)
	}
	b.owed = b.owed[:0]
}

// An acknowledger forges the acknowledgment of all that an endpoint has got.
type acknowledger struct{}

func (acknowledger) make(b *Box, c *conntrack.Conn, to conntrack.Dir) *Buf {
	x, peer := c.End(to), c.End(to.Peer())
	ack := peer.Received()
	if t := b.translated(c); t != nil {
		ack = t.maps[to].ToSender(ack)
	}
	var room [12]byte
	return b.forge(c, to, wire.Build{
		Seq: uint32(x.Received()), Ack: uint32(ack), Flags: wire.ACK, Window: peer.RawWindow(),
		Options: b.appendStamp(room[:0], c, to),
	})
}

// appendStamp appends the timestamps that an endpoint takes from its peer; nothing if it
// takes none. The echo is 0, which nobody measures by.
func (b *Box) appendStamp(dst []byte, c *conntrack.Conn, to conntrack.Dir) []byte {
	if recent, ok := c.End(to).NewestTS(); ok {
		dst = wire.AppendTimestamps(wire.AppendNOP(dst, 2), recent, 0)
	}
	return dst
}
