package engine

import (
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// forge makes a segment that seems to come from the peer of to.
func (b *Box) forge(c *conntrack.Conn, to conntrack.Dir, s wire.Build) *Buf {
	s.Src, s.Dst = c.Addr(to.Peer()), c.Addr(to)
	buf := b.pool.Get(wire.MaxHeader + len(s.Payload))
	buf.n = len(s.Append(buf.raw[:0]))
	return buf
}
