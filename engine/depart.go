package engine

import (
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A departure is virtual segments of a packet on their way out: the one place where
// segments get their edits and the numbers of their receiver. What leaves is b.part: its
// headers are its own, and so is its payload where that is edited too.
type departure struct {
	mods
	packet      *wire.Packet
	header      tunnel.Header
	side        int // where it leaves
	conn        *conntrack.Conn
	dir         conntrack.Dir
	translation *translation // nil: its numbers stay
	wait        *wait        // what has waited; nil: the segment in hand leaves at once
	told        bool         // its receiver knows already
}

// unchanged tells that the packet leaves as it is.
func (g *departure) unchanged() bool { return g.translation == nil && g.mods == mods{} }

// depart lets the virtual segments [from, to) out, those together that can be, and
// tells their receiver of them. It is false if none has left.
func (b *Box) depart(g *departure, from, to int) (left bool) {
	for from < to {
		end := g.stretch(from, to)
		if end == from {
			left = b.departAlone(g, from) || left
			from++
			continue
		}
		b.shape(g, from, end)
		left = b.send(g) || left
		from = end
	}
	return left
}

// stretch is how far segments from one on leave as one packet; it is from if that
// one leaves alone.
func (g *departure) stretch(from, to int) (end int) {
	if g.mods.alone() {
		return from
	}
	if g.translation == nil {
		return to
	}
	g.close(to - 1)
	by, plain := g.plain(from)
	for end = from; plain && end < to; end++ {
		if next, ok := g.plain(end); !ok || next != by {
			break
		}
	}
	return end
}

// plain tells whether a segment only has its numbers moved, and by how much.
func (g *departure) plain(i int) (by uint32, ok bool) {
	s := g.packet.At(i)
	m := &g.translation.maps[g.dir]
	return s.Seq.Size(m.ToReceiver(s.Seq)), m.Plain(seq.Range{From: s.Seq, To: s.End()})
}

// alone tells whether a segment cannot leave with its neighbours.
func (g *departure) alone(i int) bool { return g.stretch(i, i+1) == i }

// close has the FIN of a segment, if it has one, take the place of one that was forged.
func (g *departure) close(i int) {
	if s := g.packet.At(i); s.Flags.Has(wire.FIN) && !g.mods.clear.Has(wire.FIN) && g.translation != nil {
		g.translation.maps[g.dir].Close(s.End().Add(minusOne))
	}
}

// minusOne steps back by one in sequence space.
const minusOne = ^uint32(0)

// shape makes b.part of a stretch that leaves as one packet.
func (b *Box) shape(g *departure, from, to int) {
	g.packet.Part(&b.part, b.partHead[:], from, to)
	n := b.part.Seq()
	if g.translation != nil {
		n = g.translation.maps[g.dir].ToReceiver(n)
	}
	g.finish(&b.part, n)
}

// finish gives a packet its receiver's numbers, its own beginning at n, and then
// the edits.
func (g *departure) finish(p *wire.Packet, n seq.Num) {
	if n != p.Seq() {
		p.SetSeq(n)
	}
	if g.translation != nil {
		g.translation.number(p, g.dir, g.conn.End(g.dir).Received())
	}
	g.mods.apply(p)
}

// send writes b.part, and tells its receiver of each of its segments.
func (b *Box) send(g *departure) bool {
	p := &b.part
	b.out = Emission{Side: g.side, Header: headerOf(p, g.header), Head: p.Headers(), Body: p.Payload()}
	if !b.write(&b.out) {
		return false
	}
	if g.conn != nil && !g.told {
		b.tell(g)
	}
	return true
}

// tell tells of b.part, segment by segment.
func (b *Box) tell(g *departure) {
	common := conntrack.Read(&b.part)
	for i := range b.part.Segments() {
		b.left = common
		b.left.Set(b.part.At(i))
		b.arrive(g, &b.part, i)
	}
}

// headerOf is what the kernel has still to do to a packet whose like came with h.
func headerOf(p *wire.Packet, h tunnel.Header) tunnel.Header {
	if !p.Partial() {
		return tunnel.Header{}
	}
	is := tunnel.Header{Flags: tunnel.NeedsCsum, CsumStart: uint16(p.IPHeaderLen()), CsumOffset: checksumAt}
	if p.GSO() == 0 {
		return is
	}
	is.GSOType, is.GSOSize, is.HdrLen = tunnel.GSOTCPv4, uint16(p.GSO()), uint16(p.HeaderLen())
	if p.V6() {
		is.GSOType = tunnel.GSOTCPv6
	}
	is.GSOType |= h.GSOType & tunnel.GSOECN
	return is
}

// checksumAt is the place of the checksum in a TCP header.
const checksumAt = 16
