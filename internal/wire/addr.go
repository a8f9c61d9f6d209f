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

// Headers is a view of the headers alone of a packet whose payload is elsewhere, for
// the Set methods; ok is false if they are not those of a TCP segment.
func Headers(head []byte, partial bool) (p Packet, ok bool) {
	size, v6, ok := ipHeaderSize(head)
	if !ok || len(head) < size+tcpLen {
		return p, false
	}
	tcp := int(head[size+12]>>4) * 4
	if tcp < tcpLen || len(head) < size+tcp {
		return p, false
	}
	return Packet{data: head, ip: head[:size], tcp: head[size : size+tcp], v6: v6, partial: partial, segs: 1}, true
}

// ipHeaderSize is that of an IP header with TCP right behind it, in a packet that is
// no fragment.
func ipHeaderSize(head []byte) (size int, v6, ok bool) {
	if len(head) > 0 && head[0]>>4 == 6 {
		size, ok = quotedIP(head, true)
		return size, true, ok
	}
	size, ok = quotedIP(head, false)
	return size, false, ok && binary.BigEndian.Uint16(head[6:8])&0x3fff == 0
}

// ReaddressICMP gives an ICMP error other addresses, in place: its own, and the ends
// of the segment that it quotes. It is false, and changes nothing, if the packet is no
// error about a TCP segment or an address is of the other family. The checksum of the
// quoted segment is left as it is: nobody can verify that of a part.
func ReaddressICMP(packet []byte, from, to netip.Addr, src, dst netip.AddrPort) bool {
	e, ok := ParseICMPError(packet)
	if !ok || e.From.Is6() != from.Is6() || from.Is6() != to.Is6() || to.Is6() != src.Addr().Is6() || to.Is6() != dst.Addr().Is6() {
		return false
	}
	h, _ := readIP(packet)
	quote := packet[h.size+icmpLen : h.end]
	inner, _ := quotedIP(quote, h.v6)
	putAddrs(packet, from, to)
	putAddrs(quote, src.Addr(), dst.Addr())
	binary.BigEndian.PutUint16(quote[inner:], src.Port())
	binary.BigEndian.PutUint16(quote[inner+2:], dst.Port())
	if !h.v6 {
		putHeaderChecksum(packet[:h.size])
		putHeaderChecksum(quote[:inner])
	}
	icmp := packet[h.size:h.end]
	icmp[2], icmp[3] = 0, 0
	putICMPChecksum(packet[:h.size], icmp, h.v6)
	return true
}

// putAddrs overwrites both addresses of an IP header.
func putAddrs(ip []byte, src, dst netip.Addr) {
	if src.Is6() {
		copy(ip[8:24], src.AsSlice())
		copy(ip[24:40], dst.AsSlice())
		return
	}
	copy(ip[12:16], src.AsSlice())
	copy(ip[16:20], dst.AsSlice())
}
