package ladder

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/bits"

	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// stream is what a side sends: the byte at each place of its sequence space
// follows from the place, so that a payload tells where it belongs.
func stream(dst []byte, side int, from, size uint32) []byte {
	for n := from; n != from+size; n++ {
		dst = append(dst, byte(n*7+n>>8*13)^byte(side*0x55))
	}
	return dst
}

// payload is what a segment of the script carries.
func (s *spec) payload(from int) []byte {
	if s.text != nil {
		return s.text
	}
	at := s.seq
	if s.at != nil {
		return stream(nil, from, *s.at, s.size)
	}
	if s.flags.Has(wire.SYN) {
		at++ // the SYN stands before it
	}
	return stream(nil, from, at, s.size)
}

// build makes the packet of a script's line that comes in from a side.
func (p *player) build(c *conn, from int, s *spec) packet {
	in := packet{side: from, conn: c}
	switch {
	case s.raw != nil:
		in.data = s.raw
	case s.icmp != nil:
		in.data = p.buildICMP(c, from, s.icmp)
	default:
		in.data, in.header = p.buildTCP(c, from, s)
	}
	return in
}

func (p *player) buildTCP(c *conn, from int, s *spec) ([]byte, tunnel.Header) {
	isn := p.shifted[c]
	b := wire.Build{
		Src: p.addr(c, from), Dst: p.addr(c, 1-from), Seq: isn[from] + s.seq, Flags: s.flags,
		Window: 512, Options: appendOptions(nil, s.options, isn[1-from]), Payload: s.payload(from),
		ID: p.ids, Partial: s.partial || s.gso > 0,
	}
	if s.ack != nil {
		b.Ack = isn[1-from] + *s.ack
	}
	if s.win != nil {
		b.Window = *s.win
	}
	data := b.Append(nil)
	p.ids++
	if s.gso > 0 {
		p.ids += uint16((len(b.Payload) - 1) / s.gso)
	}
	if s.badsum {
		ipLen := len(data) - len(b.Payload) - 20 - (len(b.Options)+3)&^3
		data[ipLen+16] ^= 0x55
	}
	return data, p.offloadHeader(data, s)
}

// offloadHeader says what a kernel has left undone.
func (p *player) offloadHeader(data []byte, s *spec) (h tunnel.Header) {
	var v wire.Packet
	if !s.partial && s.gso == 0 || v.Parse(data, 0, true) != wire.OK {
		return h
	}
	h.Flags, h.CsumStart, h.CsumOffset = tunnel.NeedsCsum, uint16(v.IPHeaderLen()), 16
	if s.gso > 0 {
		h.GSOSize, h.HdrLen, h.GSOType = uint16(s.gso), uint16(v.HeaderLen()), tunnel.GSOTCPv4
		if v.V6() {
			h.GSOType = tunnel.GSOTCPv6
		}
		if s.flags.Has(wire.CWR) {
			h.GSOType |= tunnel.GSOECN
		}
	}
	return h
}

// compare holds a TCP segment that has left against the line that expects it.
// Only what the line says counts, and besides: the addresses, the payload, and
// that checksums are as they should be.
func (p *player) compare(c *conn, side int, s *spec, got *packet) error {
	v, ok := got.parsed()
	if !ok {
		return fmt.Errorf("what left is no TCP segment: %x", got.data)
	}
	from, isn := 1-side, p.shifted[c]
	segment := v.At(0)
	switch {
	case v.SrcAddrPort() != p.addr(c, from) || v.DstAddrPort() != p.addr(c, side):
		return fmt.Errorf("it went from %v to %v", v.SrcAddrPort(), v.DstAddrPort())
	case v.Flags() != s.flags:
		return fmt.Errorf("flags %s, want %s", flagsText(v.Flags()), flagsText(s.flags))
	case !s.anySeq && uint32(segment.Seq) != isn[from]+s.seq || v.PayloadLen() != int(s.size):
		at := uint32(segment.Seq) - isn[from]
		return fmt.Errorf("it is %d:%d(%d)", at, at+uint32(v.PayloadLen()), v.PayloadLen())
	case s.ack != nil && uint32(v.Ack()) != isn[side]+*s.ack:
		return fmt.Errorf("ack %d, want %d", uint32(v.Ack())-isn[side], *s.ack)
	case s.win != nil && v.Window() != *s.win:
		return fmt.Errorf("win %d, want %d", v.Window(), *s.win)
	case v.GSO() != s.gso:
		return fmt.Errorf("gso %d, want %d", v.GSO(), s.gso)
	}
	if n := flips(v.Payload(), s.payload(from)); n != s.flips {
		if s.flips == 0 {
			return errors.New("the payload is not what the stream holds there")
		}
		return fmt.Errorf("%d bits of the payload are the wrong way round, want %d", n, s.flips)
	}
	return cmp.Or(p.compareOptions(c, side, s, &v), soundOffload(got, &v), soundChecksums(s, &v))
}

// flips counts the bits in which two payloads of one size differ.
func flips(a, b []byte) (n int) {
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

func (p *player) compareOptions(c *conn, side int, s *spec, v *wire.Packet) error {
	if s.options == nil {
		return nil
	}
	want := appendOptions(nil, s.options, p.shifted[c][side])
	for len(want)%4 != 0 {
		want = append(want, wire.OptEOL)
	}
	if bytes.Equal(v.RawOptions(), want) {
		return nil
	}
	return fmt.Errorf("options %x, want %x", v.RawOptions(), want)
}

// soundOffload wants of a packet with work left to the device that its header is right.
func soundOffload(got *packet, v *wire.Packet) error {
	h := got.header
	if h.Partial() && (int(h.CsumStart) != v.IPHeaderLen() || h.CsumOffset != 16) {
		return fmt.Errorf("the checksum is to be put at %d+%d", h.CsumStart, h.CsumOffset)
	}
	if h.GSO() > 0 && (!h.Partial() || v.Segments() < 2) {
		return fmt.Errorf("it is no super-packet, but its header says so: %+v", h)
	}
	return nil
}

// soundChecksums wants each of the segments to have right checksums once the
// device has cut them, or wrong ones where the script says so.
func soundChecksums(s *spec, v *wire.Packet) error {
	for i := range v.Segments() {
		err := wire.VerifyChecksums(v.Materialize(i, nil))
		switch {
		case s.badsum && err == nil:
			return errors.New("its checksum is right")
		case !s.badsum && err != nil:
			return err
		}
	}
	return nil
}
