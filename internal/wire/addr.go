package wire

import (
	"encoding/binary"
	"net/netip"
)

// SetSrc gives the packet another source, address and port; see SetDst.
func (p *Packet) SetSrc(a netip.AddrPort) { p.setEnd(a, 0) }

// SetDst gives the packet another destination, address and port, and mends the
// checksums, the partial one too: it sums the addresses, but not the ports. It
// panics if the address is of the other family.
func (p *Packet) SetDst(a netip.AddrPort) { p.setEnd(a, 1) }

// setEnd writes one end of the 4-tuple: 0 the source, 1 the destination.
func (p *Packet) setEnd(a netip.AddrPort, end int) {
	addr := a.Addr().Unmap()
	if addr.Is6() != p.v6 {
		panic("wire: SetSrc, SetDst: address of the other family")
	}
	if p.v6 {
		to := addr.As16()
		p.setAddr(p.ip[8+16*end:][:16], to[:])
	} else {
		to := addr.As4()
		p.setAddr(p.ip[12+4*end:][:4], to[:])
	}
	p.put16(2*end, a.Port())
}

// setAddr overwrites an address of the IP header. TCP's checksum covers it by the
// pseudo-header, which is all that a partial one covers; its sum is not complemented.
func (p *Packet) setAddr(old, to []byte) {
	for at := 0; at < len(to); at += 2 {
		was, is := binary.BigEndian.Uint16(old[at:]), binary.BigEndian.Uint16(to[at:])
		if !p.v6 {
			sum := p.ip[10:12]
			binary.BigEndian.PutUint16(sum, update(binary.BigEndian.Uint16(sum), was, is))
		}
		check := p.tcp[16:18]
		field := binary.BigEndian.Uint16(check)
		if p.partial {
			field = fold(uint64(field) + uint64(^was) + uint64(is))
		} else {
			field = update(field, was, is)
		}
		binary.BigEndian.PutUint16(check, field)
		binary.BigEndian.PutUint16(old[at:], is)
	}
}
