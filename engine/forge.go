package engine

import (
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// deliver tells the model of its receiver of a segment that has left, and keeps the newest
// timestamp of each direction for what is forged in it.
func (b *Box) deliver(c *conntrack.Conn, d conntrack.Dir, s *conntrack.Segment) {
	b.table.Delivered(b.now, c, d, s)
	if !s.HasTS {
		return
	}
	if f := b.flowOf(c); f != nil && (f.stamps[d] == 0 || int32(s.TSVal-f.stamps[d]) > 0) {
		f.stamps[d] = s.TSVal
	}
}

// stampFor is a timestamp that an endpoint takes from its peer: the newest that it was
// given. Its TS.Recent as we know it may lag behind, for what it has acknowledged may not
// have come by here yet. ok is false if timestamps are not in use.
func (b *Box) stampFor(c *conntrack.Conn, to conntrack.Dir) (val uint32, ok bool) {
	val, ok = c.End(to).TSRecent()
	if f := b.flowOf(c); ok && f != nil && f.stamps[to.Peer()] != 0 && int32(f.stamps[to.Peer()]-val) > 0 {
		val = f.stamps[to.Peer()]
	}
	return val, ok
}

// forge makes a segment that seems to come from the peer of to.
func (b *Box) forge(c *conntrack.Conn, to conntrack.Dir, s wire.Build) *Buf {
	s.Src, s.Dst = c.Addr(to.Peer()), c.Addr(to)
	buf := b.pool.Get(wire.MaxHeader + len(s.Payload))
	buf.n = len(s.Append(buf.raw[:0]))
	return buf
}
