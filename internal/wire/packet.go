// Package wire reads, edits and builds TCP segments as bytes. It works on IP
// packets, on several segments at once where the kernel hands over a
// super-packet, and allocates nothing on the way of a passing segment.
//
// A super-packet (GSO) is one set of headers with the payload of many segments,
// each but the last of gso bytes. It is never cut up by copying: Packet.At gives
// the segments one by one, Packet.Slice makes a smaller super-packet of
// neighbours that shares the payload.
//
// With checksum offload the TCP checksum field of such a packet is partial: it
// holds the sum of the pseudo-header alone, folded and not complemented
// (VIRTIO_NET_HDR_F_NEEDS_CSUM), and whoever sends the packet on finishes it.
package wire

import (
	"encoding/binary"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// MaxHeader is the most that IP and TCP headers can take together: 60 and 60
// bytes with IPv4, 40 and 60 with IPv6.
const MaxHeader = 60 + 60

const (
	ipv4Len = 20 // without options
	ipv6Len = 40 // without extension headers
	tcpLen  = 20 // without options
)

// A Packet is a view of a TCP segment or super-packet. The bytes stay the
// caller's, and must not change hands while the view is in use; the view may be
// used again with Parse. Its methods, except Data, want a Packet that parsed OK.
// It is not safe for concurrent use with the Set methods.
type Packet struct {
	data    []byte // as it came, with what trails behind the IP packet
	ip      []byte // the IP header
	tcp     []byte // the TCP header with its options
	payload []byte
	gso     int // payload bytes of each segment but the last; 0 if there is one segment
	segs    int // virtual segments, at least 1
	v6      bool
	partial bool
}

// Parse makes p a view of data, an IP packet with perhaps other bytes behind it.
// gso is the payload size of each virtual segment but the last, 0 if the packet
// is one segment; partial says that the TCP checksum is partial. Checksums are
// not verified. If the result is not OK, only p.Data is of use.
//
// A super-packet with SYN or RST has no meaning as a train of segments and is
// Malformed; no TCP makes one.
func (p *Packet) Parse(data []byte, gso int, partial bool) Reason {
	*p = Packet{data: data}
	h, why := readIP(data)
	if why != OK {
		return why
	}
	if h.proto != protoTCP {
		return notTCP(data, h)
	}
	size, ok := readTCP(data[h.size:h.end])
	if !ok {
		return Malformed
	}
	p.ip = data[:h.size]
	p.tcp = data[h.size : h.size+size]
	p.payload = data[h.size+size : h.end : h.end]
	p.v6, p.partial, p.segs = h.v6, partial, 1
	if gso > 0 && len(p.payload) > gso {
		p.gso, p.segs = gso, (len(p.payload)+gso-1)/gso
		if p.Flags()&(SYN|RST) != 0 {
			*p = Packet{data: data}
			return Malformed
		}
	}
	return OK
}

// notTCP tells what a packet of another protocol is to us.
func notTCP(data []byte, h ipHeader) Reason {
	if h.proto == protoICMP || h.proto == protoICMPv6 {
		if _, ok := ParseICMPError(data); ok {
			return ICMPError
		}
	}
	return NotTCP
}

// readTCP gives the header size of a TCP segment, options included.
func readTCP(segment []byte) (size int, ok bool) {
	if len(segment) < tcpLen {
		return 0, false
	}
	size = int(segment[12]>>4) * 4
	if size < tcpLen || size > len(segment) {
		return 0, false
	}
	return size, Options(segment[tcpLen:size]).valid()
}

// Data is all of what was given to Parse, trailing bytes included.
func (p *Packet) Data() []byte { return p.data }

// V6 tells IPv6 from IPv4.
func (p *Packet) V6() bool { return p.v6 }

// Partial tells whether the TCP checksum is partial.
func (p *Packet) Partial() bool { return p.partial }

// GSO is the payload size of each virtual segment but the last. It is 0 if the
// packet is one segment, whatever Parse was given.
func (p *Packet) GSO() int { return p.gso }

// IPHeaderLen is the size of the IP header with its options.
func (p *Packet) IPHeaderLen() int { return len(p.ip) }

// HeaderLen is the size of the IP and TCP headers, options included.
func (p *Packet) HeaderLen() int { return len(p.ip) + len(p.tcp) }

// Seq is the sequence number of the (first) segment.
func (p *Packet) Seq() seq.Num { return seq.Num(binary.BigEndian.Uint32(p.tcp[4:8])) }

// Ack is the acknowledgment number; it means something if ACK is set.
func (p *Packet) Ack() seq.Num { return seq.Num(binary.BigEndian.Uint32(p.tcp[8:12])) }

// Flags are those of the header, for a super-packet the union over its segments.
func (p *Packet) Flags() Flags { return Flags(binary.BigEndian.Uint16(p.tcp[12:14])) & allFlags }

// Window is the window field as it stands, not scaled.
func (p *Packet) Window() uint16 { return binary.BigEndian.Uint16(p.tcp[14:16]) }

// Urgent is the urgent pointer; it means something if URG is set.
func (p *Packet) Urgent() uint16 { return binary.BigEndian.Uint16(p.tcp[18:20]) }

// SrcPort is the TCP source port.
func (p *Packet) SrcPort() uint16 { return binary.BigEndian.Uint16(p.tcp[0:2]) }

// DstPort is the TCP destination port.
func (p *Packet) DstPort() uint16 { return binary.BigEndian.Uint16(p.tcp[2:4]) }

// RawOptions is the option part of the TCP header, padding included.
func (p *Packet) RawOptions() []byte { return p.tcp[tcpLen:] }

// Options is an iterator over the TCP options.
func (p *Packet) Options() Options { return p.tcp[tcpLen:] }

// Payload is what the packet carries, of all its segments.
func (p *Packet) Payload() []byte { return p.payload }

// PayloadLen is the size of Payload in bytes.
func (p *Packet) PayloadLen() int { return len(p.payload) }
