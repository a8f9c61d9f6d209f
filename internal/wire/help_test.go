package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

var (
	client4 = netip.MustParseAddrPort("10.77.1.1:40000")
	server4 = netip.MustParseAddrPort("10.77.2.1:8080")
	client6 = netip.MustParseAddrPort("[fd77:1::1]:40000")
	server6 = netip.MustParseAddrPort("[fd77:2::1]:8080")
)

// build makes a packet from client to server with what b says besides.
func build(v6 bool, b Build) []byte {
	b.Src, b.Dst = client4, server4
	if v6 {
		b.Src, b.Dst = client6, server6
	}
	return b.Append(nil)
}

// parse is Parse of a packet that has to be OK.
func parse(t testing.TB, data []byte, gso int, partial bool) *Packet {
	t.Helper()
	p := new(Packet)
	if why := p.Parse(data, gso, partial); why != OK {
		t.Fatalf("Parse of %x: %v", data[:min(len(data), MaxHeader)], why)
	}
	return p
}

// bytesOf is n bytes of which no two neighbours are the same word.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*13 + 1)
	}
	return b
}

// timestamps is the option as most segments carry it.
func timestamps(val, ecr uint32) []byte { return AppendTimestamps(AppendNOP(nil, 2), val, ecr) }

// oddTimestamps stand at an odd place, so that they cross the words of the checksum.
func oddTimestamps(val, ecr uint32) []byte { return AppendTimestamps(AppendNOP(nil, 1), val, ecr) }

// withIPv4Options puts router alert and NOPs between the headers of an IPv4 packet.
func withIPv4Options(packet []byte) []byte {
	options := []byte{148, 4, 0, 0, 1, 1, 1, 0}
	out := append(append(append([]byte(nil), packet[:20]...), options...), packet[20:]...)
	out[0] = 0x47
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
	putHeaderChecksum(out[:28])
	return out
}

// with is a copy of packet with bytes written at a place.
func with(packet []byte, at int, b ...byte) []byte {
	out := append([]byte(nil), packet...)
	copy(out[at:], b)
	return out
}

// seeds are packets of each kind, for the fuzz targets.
func seeds() (packets [][]byte) {
	for _, v6 := range []bool{false, true} {
		syn := AppendMSS(nil, 1460)
		syn = AppendWScale(AppendNOP(AppendTimestamps(AppendSACKPermitted(syn), 1, 0), 1), 7)
		sack := AppendSACK(AppendNOP(nil, 2), seq.Range{From: 10, To: 20}, seq.Range{From: 30, To: 40})
		data := build(v6, Build{Seq: 1, Ack: 1, Flags: ACK | PSH | CWR, Options: timestamps(1, 2), Payload: bytesOf(1000)})
		packets = append(packets, data,
			build(v6, Build{Flags: SYN, Options: syn}),
			build(v6, Build{Flags: ACK, Options: sack}),
			build(v6, Build{Flags: ACK | FIN, Options: oddTimestamps(1, 2), Payload: []byte("bye")}),
			build(v6, Build{Flags: ACK, Payload: bytesOf(9), Partial: true}))
		e := ICMPBuild{From: server4.Addr(), To: client4.Addr(), Type: ICMPv4Unreachable, Code: 4, MTU: 1400, Quote: data}
		if v6 {
			e = ICMPBuild{From: server6.Addr(), To: client6.Addr(), Type: ICMPv6PacketTooBig, MTU: 1400, Quote: data}
		}
		packets = append(packets, e.Append(nil))
	}
	behind := append(bytes.Clone(packets[0]), "behind"...)
	return append(packets, withIPv4Options(packets[0]), behind)
}

// slowSum is the sum of RFC 1071 as its section 1 tells it.
func slowSum(parts ...[]byte) uint16 {
	var b []byte
	for _, part := range parts {
		b = append(b, part...)
	}
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	s := uint32(0)
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// slowPseudo is the pseudo-header, written out.
func slowPseudo(packet []byte, size int) []byte {
	if packet[0]>>4 == 6 {
		b := append([]byte(nil), packet[8:40]...)
		return append(b, 0, 0, byte(size>>8), byte(size), 0, 0, 0, packet[6])
	}
	b := append([]byte(nil), packet[12:20]...)
	return append(b, 0, packet[9], byte(size>>8), byte(size))
}

// slowChecksum is the complete TCP checksum of a packet whose header ends at tcp.
func slowChecksum(packet []byte, tcp int) uint16 {
	segment := append([]byte(nil), packet[tcp:]...)
	segment[16], segment[17] = 0, 0
	return ^slowSum(slowPseudo(packet, len(segment)), segment)
}
