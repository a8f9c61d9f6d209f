package engine

import "github.com/tcpmangle/tcpmangle/tunnel"

// A Buf holds one packet as a device gave it. Whoever takes one from a Pool
// owns it until Free; Keep adds an owner. A Box owns what Receive is given
// until the last emission that refers to it has left.
type Buf struct {
	Header tunnel.Header // what the kernel left undone
	raw    []byte
	n      int
	owners int
	pool   *Pool
}

// Space is where a packet may be read to.
func (b *Buf) Space() []byte { return b.raw }

// SetLen says how much of Space is the packet.
func (b *Buf) SetLen(n int) { b.n = n }

// Bytes is the packet.
func (b *Buf) Bytes() []byte { return b.raw[:b.n] }

// Set makes data the packet. It has to fit, as it does into a Buf that Get gave for its size.
func (b *Buf) Set(data []byte) { b.n = copy(b.raw, data) }

// Keep adds an owner.
func (b *Buf) Keep() *Buf {
	b.owners++
	return b
}

// Free gives up one ownership; the last one returns the Buf to its Pool.
func (b *Buf) Free() {
	if b.owners--; b.owners == 0 {
		b.pool.put(b)
	}
}

// smallBuf is enough for one segment at the usual MTUs.
const smallBuf = 2048

// A Pool keeps Bufs in two sizes, since a held ACK must not tie up the room of
// a super-packet. It grows to the most that were in use at once, which the
// Box bounds. One goroutine owns a Pool with all its Bufs.
type Pool struct {
	small, large []*Buf
	held         int // bytes of the Bufs in use
}

// Get gives a Buf with room for a packet of n bytes.
func (p *Pool) Get(n int) *Buf {
	free, size := &p.small, smallBuf
	if n > smallBuf {
		free, size = &p.large, tunnel.MaxPacket
	}
	p.held += size
	last := len(*free) - 1
	if last < 0 {
		return &Buf{raw: make([]byte, size), owners: 1, pool: p}
	}
	b := (*free)[last]
	*free = (*free)[:last]
	b.owners = 1
	return b
}

// copyOf gives a Buf with the same packet.
func (p *Pool) copyOf(b *Buf) *Buf {
	c := p.Get(b.n)
	c.Set(b.Bytes())
	c.Header = b.Header
	return c
}

// Held is how many bytes the Bufs in use take.
func (p *Pool) Held() int { return p.held }

func (p *Pool) put(b *Buf) {
	p.held -= len(b.raw)
	b.Header, b.n = tunnel.Header{}, 0
	if len(b.raw) == smallBuf {
		p.small = append(p.small, b)
	} else {
		p.large = append(p.large, b)
	}
}
