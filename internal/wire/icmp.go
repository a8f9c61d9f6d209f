package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// Types of ICMP errors (RFC 792, RFC 4443). Which one a number means depends on
// the IP version.
const (
	ICMPv4Unreachable  uint8 = 3
	ICMPv4SourceQuench uint8 = 4
	ICMPv4TimeExceeded uint8 = 11
	ICMPv4ParamProblem uint8 = 12
	ICMPv6Unreachable  uint8 = 1
	ICMPv6PacketTooBig uint8 = 2
	ICMPv6TimeExceeded uint8 = 3
	ICMPv6ParamProblem uint8 = 4
)

// ICMPv4FragNeeded is the code of ICMPv4Unreachable that says: too big, and DF was set.
const ICMPv4FragNeeded uint8 = 4

const (
	icmpLen       = 8    // before the quote
	leastTCPQuote = 8    // ports and sequence number (RFC 792)
	mostICMPv4    = 576  // whole packet
	mostICMPv6    = 1280 // whole packet
)

// MaxICMP is the longest packet that ICMPBuild makes.
const MaxICMP = mostICMPv6

// An ICMP is an ICMP error about a TCP segment. Src, Dst and Seq are the quoted
// segment's own: Src sent it, and is who the error is for.
type ICMP struct {
	From, To   netip.Addr // who reports, and whom
	Type, Code uint8
	MTU        uint32 // next hop's, if the segment was too big; 0 if not told
	Src, Dst   netip.AddrPort
	Seq        seq.Num
}

// ParseICMPError reads an ICMP or ICMPv6 error that quotes a TCP segment. Eight
// bytes of the quoted TCP header will do. It is false for what is not such an
// error. Checksums are not verified.
func ParseICMPError(packet []byte) (e ICMP, ok bool) {
	h, why := readIP(packet)
	if why != OK || h.end-h.size < icmpLen {
		return e, false
	}
	icmp := packet[h.size:h.end]
	e.Type, e.Code = icmp[0], icmp[1]
	if !isError(h, e.Type) {
		return e, false
	}
	e.From, e.To = addresses(packet, h.v6)
	e.MTU = mtu(icmp, h.v6)
	return e, e.readQuote(icmp[icmpLen:], h.v6)
}

// SetQuotedSeq changes the sequence number that an ICMP error quotes, and the
// checksum of the error. The checksum in the quote stays as it is: nobody can verify it
// there. packet is one that ParseICMPError accepts.
func SetQuotedSeq(packet []byte, n seq.Num) {
	h, _ := readIP(packet)
	icmp := packet[h.size:h.end]
	size, _ := quotedIP(icmp[icmpLen:], h.v6)
	at := icmpLen + size + 4
	replace16(icmp, at, 2, uint16(n>>16))
	replace16(icmp, at+2, 2, uint16(n))
}

func isError(h ipHeader, typ uint8) bool {
	switch {
	case h.v6 && h.proto == protoICMPv6:
		return typ >= ICMPv6Unreachable && typ <= ICMPv6ParamProblem
	case !h.v6 && h.proto == protoICMP:
		return typ == ICMPv4Unreachable || typ == ICMPv4SourceQuench ||
			typ == ICMPv4TimeExceeded || typ == ICMPv4ParamProblem
	}
	return false
}

// mtu is that of RFC 1191, section 4, or RFC 4443, section 3.2.
func mtu(icmp []byte, v6 bool) uint32 {
	switch {
	case v6 && icmp[0] == ICMPv6PacketTooBig:
		return binary.BigEndian.Uint32(icmp[4:8])
	case !v6 && icmp[0] == ICMPv4Unreachable && icmp[1] == ICMPv4FragNeeded:
		return uint32(binary.BigEndian.Uint16(icmp[6:8]))
	}
	return 0
}

// readQuote reads as much of the segment as is needed to know its connection.
// The lengths of the quoted packet are those of what was sent, not of the quote.
func (e *ICMP) readQuote(quote []byte, v6 bool) bool {
	size, ok := quotedIP(quote, v6)
	if !ok || len(quote) < size+leastTCPQuote {
		return false
	}
	src, dst := addresses(quote, v6)
	tcp := quote[size:]
	e.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp[0:2]))
	e.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:4]))
	e.Seq = seq.Num(binary.BigEndian.Uint32(tcp[4:8]))
	return true
}

// quotedIP gives the size of a quoted IP header with the start of a TCP segment
// behind it.
func quotedIP(quote []byte, v6 bool) (size int, ok bool) {
	if v6 {
		return ipv6Len, len(quote) >= ipv6Len && quote[0]>>4 == 6 && quote[6] == protoTCP
	}
	if len(quote) < ipv4Len || quote[0]>>4 != 4 || quote[9] != protoTCP {
		return 0, false
	}
	size = int(quote[0]&0x0f) * 4
	offset := binary.BigEndian.Uint16(quote[6:8]) & 0x1fff
	return size, size >= ipv4Len && offset == 0
}

// addresses are those of an IP header that is known to be whole.
func addresses(ip []byte, v6 bool) (src, dst netip.Addr) {
	view := Packet{ip: ip, v6: v6}
	return view.Src(), view.Dst()
}

// An ICMPBuild is an ICMP error to be made.
type ICMPBuild struct {
	From, To   netip.Addr // who reports, and whom; of one family with the quoted packet
	Type, Code uint8      // of ICMP or ICMPv6, by the family
	MTU        uint32     // written where Type and Code have a place for it
	Quote      []byte     // the packet that met the error, from its IP header on
	TTL        uint8      // 0 for 64
}

// Append appends the packet to dst, its checksums valid. Of the quote it takes as
// much as fits: 576 bytes in all with IPv4 (RFC 1812, section 4.3.2.3), 1280 with
// IPv6 (RFC 4443, section 2.4). It panics if the addresses are not two of one family.
func (b *ICMPBuild) Append(dst []byte) []byte {
	from, to := b.From.Unmap(), b.To.Unmap()
	if !from.IsValid() || from.BitLen() != to.BitLen() {
		panic("wire: ICMPBuild: addresses of one family wanted")
	}
	most, proto := mostICMPv6, uint8(protoICMPv6)
	if from.Is4() {
		most, proto = mostICMPv4, protoICMP
	}
	quote := b.Quote[:min(len(b.Quote), most-ipSize(from)-icmpLen)]
	ttl := b.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	dst, packet := grow(dst, ipSize(from)+icmpLen+len(quote))
	ip, icmp := packet[:ipSize(from)], packet[ipSize(from):]
	putIP(ip, from, to, frame{proto: proto, size: len(icmp), ttl: ttl})
	copy(icmp[icmpLen:], quote)
	b.putHeader(icmp, from.Is6())
	putICMPChecksum(ip, icmp, from.Is6())
	return dst
}

func (b *ICMPBuild) putHeader(icmp []byte, v6 bool) {
	clear(icmp[:icmpLen])
	icmp[0], icmp[1] = b.Type, b.Code
	switch {
	case v6 && b.Type == ICMPv6PacketTooBig:
		binary.BigEndian.PutUint32(icmp[4:8], b.MTU)
	case !v6 && b.Type == ICMPv4Unreachable && b.Code == ICMPv4FragNeeded:
		binary.BigEndian.PutUint16(icmp[6:8], uint16(min(b.MTU, 0xffff)))
	}
}

// putICMPChecksum sums the pseudo-header too with ICMPv6 (RFC 4443, section 2.3).
func putICMPChecksum(ip, icmp []byte, v6 bool) {
	initial := uint16(0)
	if v6 {
		initial = pseudo(ip, true, protoICMPv6, len(icmp))
	}
	binary.BigEndian.PutUint16(icmp[2:4], ^sum(icmp, initial))
}
