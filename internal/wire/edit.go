package wire

import (
	"encoding/binary"
	"math/bits"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// The Set methods change the packet's own bytes and mend its checksums by the
// difference (RFC 1624): what was right stays right, what was wrong stays exactly
// as wrong. A partial sum covers no field of TCP and stays as it is. Of a
// super-packet they change all segments.

// SetSeq sets the sequence number, of a super-packet's first segment; the others
// follow it.
func (p *Packet) SetSeq(n seq.Num) { p.put32(4, uint32(n)) }

// SetAck sets the acknowledgment number.
func (p *Packet) SetAck(n seq.Num) { p.put32(8, uint32(n)) }

// SetFlags sets all flags at once, AE too.
func (p *Packet) SetFlags(f Flags) {
	rest := binary.BigEndian.Uint16(p.tcp[12:14]) &^ uint16(allFlags)
	p.put16(12, rest|uint16(f&allFlags))
}

// SetWindow sets the window field, which is not scaled.
func (p *Packet) SetWindow(w uint16) { p.put16(14, w) }

// SetTimestamps sets TSval and TSecr. It is false, and changes nothing, if the
// packet has no timestamps.
func (p *Packet) SetTimestamps(val, ecr uint32) bool {
	at := p.timestampsAt()
	if at == 0 {
		return false
	}
	p.put32(at, val)
	p.put32(at+4, ecr)
	return true
}

// SetMSS sets the value of the MSS option. It is false, and changes nothing, if
// the packet has none.
func (p *Packet) SetMSS(mss uint16) bool {
	at := p.option(OptMSS, 2)
	if at != 0 {
		p.put16(at, mss)
	}
	return at != 0
}

// MapSACK puts each SACK block through f: what a box has to do that moved the
// sequence numbers which the block speaks of. Blocks that come back empty are taken
// out; NOPs take their place behind the others.
func (p *Packet) MapSACK(f func(seq.Range) seq.Range) {
	o := p.Options()
	for {
		kind, data, ok := o.Next()
		if !ok {
			return
		}
		if kind == OptSACK && wholeBlocks(data) {
			p.mapBlocks(p.place(o, data), len(data), f)
		}
	}
}

// mapBlocks is MapSACK for the option whose data of size bytes is at a place.
func (p *Packet) mapBlocks(at, size int, f func(seq.Range) seq.Range) {
	to := at
	for from := at; from < at+size; from += 8 {
		r := f(seq.Range{From: p.num(from), To: p.num(from + 4)})
		if r.Len() > 0 {
			p.put32(to, uint32(r.From))
			p.put32(to+4, uint32(r.To))
			to += 8
		}
	}
	if to == at {
		to -= 2 // no block, no option
	} else {
		p.put8(at-1, uint8(2+to-at))
	}
	for ; to < at+size; to++ {
		p.put8(to, OptNOP)
	}
}

// num is a sequence number at a place of the TCP header.
func (p *Packet) num(at int) seq.Num { return seq.Num(binary.BigEndian.Uint32(p.tcp[at:])) }

// StripOption writes NOPs over each option of a kind, and tells whether there was
// one. The header keeps its size, so a super-packet stays one.
func (p *Packet) StripOption(kind uint8) (found bool) {
	o := p.Options()
	for {
		k, data, ok := o.Next()
		if !ok {
			return found
		}
		if k != kind {
			continue
		}
		found = true
		end := p.place(o, data) + len(data)
		for at := end - len(data) - 2; at < end; at++ {
			p.put8(at, OptNOP)
		}
	}
}

// SetTTL sets the time to live, the hop limit of IPv6.
func (p *Packet) SetTTL(ttl uint8) {
	if p.v6 {
		p.ip[7] = ttl // no checksum covers it
		return
	}
	replace16(p.ip, 8, 10, uint16(ttl)<<8|uint16(p.ip[9]))
}

// put8, put16 and put32 write to the TCP header at any place, odd ones too: an
// option need not be aligned.

func (p *Packet) put8(at int, v uint8) {
	old := p.tcp[at]
	p.tcp[at] = v
	p.mend(at, uint16(old)<<8, uint16(v)<<8)
}

func (p *Packet) put16(at int, v uint16) {
	old := binary.BigEndian.Uint16(p.tcp[at:])
	binary.BigEndian.PutUint16(p.tcp[at:], v)
	p.mend(at, old, v)
}

func (p *Packet) put32(at int, v uint32) {
	old := binary.BigEndian.Uint32(p.tcp[at:])
	binary.BigEndian.PutUint32(p.tcp[at:], v)
	p.mend(at, fold(uint64(old)), fold(uint64(v)))
}

// mend updates the TCP checksum for a change of old to new at a place. At an odd
// one their bytes fall into the other halves of the words that are summed
// (RFC 1071, section 2(B)).
func (p *Packet) mend(at int, old, new uint16) {
	if p.partial {
		return
	}
	if at%2 == 1 {
		old, new = bits.ReverseBytes16(old), bits.ReverseBytes16(new)
	}
	check := p.tcp[16:18]
	binary.BigEndian.PutUint16(check, update(binary.BigEndian.Uint16(check), old, new))
}
