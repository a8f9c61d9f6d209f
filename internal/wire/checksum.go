package wire

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// sum is the ones' complement sum of b in 16-bit words, added to initial and
// folded; an odd last byte is padded with zero (RFC 1071). It is 0 only if all it
// adds up is 0. Parts sum up to the whole if all but the last have even length.
//
// The sum does not mind the byte order as long as the result is turned (RFC 1071,
// section 2(B)), so words are loaded as little endian, eight bytes a step.
func sum(b []byte, initial uint16) uint16 {
	s, c := uint64(bits.ReverseBytes16(initial)), uint64(0)
	for len(b) >= 64 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[0:8]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[8:16]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[16:24]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[24:32]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[32:40]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[40:48]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[48:56]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[56:64]), c)
		b = b[64:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), c)
		b = b[8:]
	}
	s, c = bits.Add64(s, tail(b), c)
	s, c = bits.Add64(s, 0, c)
	return bits.ReverseBytes16(fold(s + c))
}

// tail is the sum of the last, fewer than eight, bytes.
func tail(b []byte) (s uint64) {
	if len(b) >= 4 {
		s += uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		s += uint64(binary.LittleEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) > 0 {
		s += uint64(b[0])
	}
	return s
}

// fold brings a sum of 16-bit words down to one of them, carries added back in.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// update is the checksum after old became new somewhere in what it covers
// (RFC 1624, equation 3). A wrong checksum stays exactly as wrong.
func update(checksum, old, new uint16) uint16 {
	return ^fold(uint64(^checksum) + uint64(^old) + uint64(new))
}

// replace16 writes a word of a header and mends the checksum at checkAt.
// Both places are even.
func replace16(header []byte, at, checkAt int, value uint16) {
	field, check := header[at:at+2], header[checkAt:checkAt+2]
	old := binary.BigEndian.Uint16(field)
	binary.BigEndian.PutUint16(field, value)
	binary.BigEndian.PutUint16(check, update(binary.BigEndian.Uint16(check), old, value))
}

// pseudo is the sum of the pseudo-header of a payload of size bytes (RFC 9293,
// section 3.1; RFC 8200, section 8.1).
func pseudo(ip []byte, v6 bool, proto uint8, size int) uint16 {
	initial := fold(uint64(proto) + uint64(size))
	if v6 {
		return sum(ip[8:40], initial)
	}
	return sum(ip[12:20], initial)
}

// putChecksum computes the complete checksum of the segment whose header is tcp
// and whose payload is the rest of tcp followed by body.
func putChecksum(ip []byte, v6 bool, tcp, body []byte) {
	binary.BigEndian.PutUint16(tcp[16:18], 0)
	s := pseudo(ip, v6, protoTCP, len(tcp)+len(body))
	binary.BigEndian.PutUint16(tcp[16:18], ^sum(body, sum(tcp, s)))
}

// tcpPart finds the IP header and the segment of an IP packet with TCP; the
// segment has at least the 20 bytes of a header, whatever they say.
func tcpPart(packet []byte) (h ipHeader, segment []byte, ok bool) {
	h, why := readIP(packet)
	if why != OK || h.proto != protoTCP || h.end-h.size < tcpLen {
		return h, nil, false
	}
	return h, packet[h.size:h.end], true
}

// FinishChecksum makes a partial TCP checksum complete, in place, as a network
// card would: a wrong partial sum gives a wrong checksum. It leaves packets alone
// that are not TCP. A super-packet gets a checksum over all of its payload, which
// is no use on a wire.
func FinishChecksum(packet []byte) {
	if _, segment, ok := tcpPart(packet); ok {
		binary.BigEndian.PutUint16(segment[16:18], ^sum(segment, 0))
	}
}

// FixChecksums computes the IPv4 header checksum and the complete TCP checksum
// anew, in place, after an edit by hand. It leaves packets alone that are not
// TCP, and works where options are malformed.
func FixChecksums(packet []byte) {
	h, segment, ok := tcpPart(packet)
	if !ok {
		return
	}
	if !h.v6 {
		putHeaderChecksum(packet[:h.size])
	}
	putChecksum(packet[:h.size], h.v6, segment, nil)
}

// putHeaderChecksum computes the checksum of an IPv4 header.
func putHeaderChecksum(ip []byte) {
	binary.BigEndian.PutUint16(ip[10:12], 0)
	binary.BigEndian.PutUint16(ip[10:12], ^sum(ip, 0))
}

// What VerifyChecksums finds wrong.
var (
	errNotIP          = errors.New("not a whole IP packet")
	errHeaderChecksum = errors.New("wrong IPv4 header checksum")
	errTCPChecksum    = errors.New("wrong TCP checksum")
	errICMPChecksum   = errors.New("wrong ICMP checksum")
)

// VerifyChecksums tells which checksum of a packet is wrong: the IPv4 header's,
// or the complete one of TCP, ICMP or ICMPv6. Of fragments and other protocols
// only the header is judged.
func VerifyChecksums(packet []byte) error {
	h, why := readIP(packet)
	switch {
	case why == NotIP || why == Malformed:
		return errNotIP
	case !h.v6 && sum(packet[:h.size], 0) != 0xffff:
		return errHeaderChecksum
	case why != OK:
		return nil
	}
	return verifyInner(h, packet)
}

func verifyInner(h ipHeader, packet []byte) error {
	inner := packet[h.size:h.end]
	s := pseudo(packet, h.v6, h.proto, len(inner))
	switch {
	case h.proto == protoTCP && sum(inner, s) != 0xffff:
		return errTCPChecksum
	case h.proto == protoICMPv6 && h.v6 && sum(inner, s) != 0xffff:
		return errICMPChecksum
	case h.proto == protoICMP && !h.v6 && sum(inner, 0) != 0xffff:
		return errICMPChecksum
	}
	return nil
}
