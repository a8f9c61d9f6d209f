package wire

import (
	"encoding/binary"
	"net/netip"
)

const (
	protoICMP   = 1
	protoTCP    = 6
	protoICMPv6 = 58
)

// An ipHeader is what the layers above want of an IP header: where it ends,
// where the packet ends, and what lies between.
type ipHeader struct {
	size, end int
	proto     uint8
	v6        bool
}

// readIP reads the header at the start of data; data may be longer than the packet.
func readIP(data []byte) (h ipHeader, why Reason) {
	if len(data) == 0 {
		return h, NotIP
	}
	switch data[0] >> 4 {
	case 4:
		return readIPv4(data)
	case 6:
		return readIPv6(data)
	}
	return h, NotIP
}

// readIPv4 takes a total length of 0 (BIG TCP) for malformed, as each other one
// that is shorter than the header.
func readIPv4(data []byte) (h ipHeader, why Reason) {
	if len(data) < ipv4Len {
		return h, Malformed
	}
	h.size = int(data[0]&0x0f) * 4
	h.end = int(binary.BigEndian.Uint16(data[2:4]))
	h.proto = data[9]
	if h.size < ipv4Len || h.end < h.size || h.end > len(data) {
		return h, Malformed
	}
	const moreFragmentsAndOffset = 0x3fff
	if binary.BigEndian.Uint16(data[6:8])&moreFragmentsAndOffset != 0 {
		return h, Fragment
	}
	return h, OK
}

func readIPv6(data []byte) (h ipHeader, why Reason) {
	if len(data) < ipv6Len {
		return h, Malformed
	}
	h.v6 = true
	h.size = ipv6Len
	h.end = ipv6Len + int(binary.BigEndian.Uint16(data[4:6]))
	h.proto = data[6]
	if h.end > len(data) {
		return h, Malformed
	}
	return h, extension(h.proto)
}

// extension tells whether a next header value stands for an extension header
// that may hide TCP (IANA, IPv6 Extension Header Types).
func extension(next uint8) Reason {
	switch next {
	case 44:
		return Fragment
	case 0, 43, 51, 60, 135, 139, 140: // hop-by-hop, routing, AH, destination, mobility, HIP, shim6
		return ExtensionHeader
	}
	return OK
}

// Src is the source address; an IPv4 one has 4 bytes.
func (p *Packet) Src() netip.Addr {
	if p.v6 {
		return netip.AddrFrom16([16]byte(p.ip[8:24]))
	}
	return netip.AddrFrom4([4]byte(p.ip[12:16]))
}

// Dst is the destination address; an IPv4 one has 4 bytes.
func (p *Packet) Dst() netip.Addr {
	if p.v6 {
		return netip.AddrFrom16([16]byte(p.ip[24:40]))
	}
	return netip.AddrFrom4([4]byte(p.ip[16:20]))
}

// SrcAddrPort is the sending endpoint.
func (p *Packet) SrcAddrPort() netip.AddrPort { return netip.AddrPortFrom(p.Src(), p.SrcPort()) }

// DstAddrPort is the receiving endpoint.
func (p *Packet) DstAddrPort() netip.AddrPort { return netip.AddrPortFrom(p.Dst(), p.DstPort()) }

// An Addr is an IP address as two numbers, IPv4 as ::ffff:a.b.c.d: what a hash or a
// table key wants.
type Addr struct{ Hi, Lo uint64 }

// Less orders addresses by their bits.
func (a Addr) Less(b Addr) bool { return a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo }

// Addrs are the source and the destination address.
func (p *Packet) Addrs() (src, dst Addr) {
	if p.v6 {
		raw := p.ip[8:40]
		return Addr{binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:])},
			Addr{binary.BigEndian.Uint64(raw[16:]), binary.BigEndian.Uint64(raw[24:])}
	}
	const mapped = 0xffff << 32
	raw := p.ip[12:20]
	return Addr{Lo: mapped | uint64(binary.BigEndian.Uint32(raw))}, Addr{Lo: mapped | uint64(binary.BigEndian.Uint32(raw[4:]))}
}

// TTL is the time to live, the hop limit of IPv6.
func (p *Packet) TTL() uint8 {
	if p.v6 {
		return p.ip[7]
	}
	return p.ip[8]
}

// TOS is the type of service, the traffic class of IPv6: DSCP and ECN.
func (p *Packet) TOS() uint8 {
	if p.v6 {
		return p.ip[0]<<4 | p.ip[1]>>4
	}
	return p.ip[1]
}

// ECN is the ECN field: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE (RFC 3168, section 5).
func (p *Packet) ECN() uint8 { return p.TOS() & 3 }

// ID is the identification of an IPv4 packet, of a super-packet's first segment;
// 0 for IPv6.
func (p *Packet) ID() uint16 {
	if p.v6 {
		return 0
	}
	return binary.BigEndian.Uint16(p.ip[4:6])
}
