package wire

import (
	"encoding/binary"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// A Segment is one TCP segment of a Packet, as a value: what Linux would put on
// the wire for it (tcp_gso_segment). Of a super-packet's flags CWR belongs to the
// first segment, FIN and PSH belong to the last; URG and the urgent pointer stay
// with each, as they do in Linux.
type Segment struct {
	Seq    seq.Num
	Ack    seq.Num
	Flags  Flags
	Window uint16 // as in the header, not scaled
	Off    int    // where its bytes start in the packet's payload
	Len    int    // payload bytes
}

// SegLen is SEG.LEN of RFC 9293: the payload, and one each for SYN and FIN.
func (s Segment) SegLen() uint32 {
	return uint32(s.Len) + uint32(s.Flags&FIN) + uint32(s.Flags&SYN)>>1
}

// End is the sequence number after the segment's last.
func (s Segment) End() seq.Num { return s.Seq.Add(s.SegLen()) }

// Segments counts the virtual segments of the packet; an ordinary packet has 1.
func (p *Packet) Segments() int { return p.segs }

// At is the i-th virtual segment, 0 <= i < p.Segments().
func (p *Packet) At(i int) Segment {
	from, to := p.span(i, i+1)
	return Segment{
		Seq:    p.Seq().Add(uint32(from)),
		Ack:    p.Ack(),
		Flags:  p.flags(i, i+1),
		Window: p.Window(),
		Off:    from,
		Len:    to - from,
	}
}

// span gives the payload bytes of segments [from, to).
func (p *Packet) span(from, to int) (start, end int) {
	if to == p.segs {
		return from * p.gso, len(p.payload)
	}
	return from * p.gso, to * p.gso
}

// flags gives the header flags of a packet that carries segments [from, to).
func (p *Packet) flags(from, to int) Flags {
	f := p.Flags()
	if from > 0 {
		f &^= CWR
	}
	if to < p.segs {
		f &^= FIN | PSH
	}
	return f
}

// Slice makes the packet of the virtual segments [from, to) of p. It writes the IP
// and TCP headers to head, which has room for p.HeaderLen() bytes (MaxHeader
// always does), and returns their size, the payload as a part of p's own, and
// the gso size of the result, 0 if it is one segment. The TCP checksum is partial
// if p's is.
//
// The whole of p comes out byte for byte as it went in. A part is numbered as
// Linux numbers it (inet_gso_segment): the IPv4 ID of segment i is ID+i. A wrong
// IPv4 header checksum stays wrong and so does a wrong partial sum; a complete
// TCP checksum is computed anew.
//
// Slice panics unless 0 <= from < to <= p.Segments().
func (p *Packet) Slice(head []byte, from, to int) (headLen int, body []byte, gso int) {
	if from < 0 || from >= to || to > p.segs {
		panic("wire: Slice: segments out of range")
	}
	head = head[:p.HeaderLen()]
	copy(head, p.data)
	if from == 0 && to == p.segs {
		return len(head), p.payload, p.gso
	}
	if to-from > 1 {
		gso = p.gso
	}
	start, end := p.span(from, to)
	body = p.payload[start:end:end]

	ip, tcp := head[:len(p.ip)], head[len(p.ip):]
	p.setLength(ip, len(tcp)+len(body), uint16(from))
	binary.BigEndian.PutUint32(tcp[4:8], uint32(p.Seq().Add(uint32(start))))
	tcp[13] = byte(p.flags(from, to))
	p.setChecksum(ip, tcp, body)
	return len(head), body, gso
}

// setLength makes ip, a copy of p's IP header, that of a packet with size bytes
// behind it, skip places after p in the order of IPv4 IDs.
func (p *Packet) setLength(ip []byte, size int, skip uint16) {
	if p.v6 {
		binary.BigEndian.PutUint16(ip[4:6], uint16(size))
		return
	}
	replace16(ip, 2, 10, uint16(len(ip)+size))
	replace16(ip, 4, 10, p.ID()+skip)
}

// setChecksum sets the checksum of tcp, a copy of p's TCP header that has got
// another payload. A partial sum covers nothing of it but the length.
func (p *Packet) setChecksum(ip, tcp, body []byte) {
	if !p.partial {
		putChecksum(ip, p.v6, tcp, body)
		return
	}
	was, is := len(p.tcp)+len(p.payload), len(tcp)+len(body)
	field := binary.BigEndian.Uint16(tcp[16:18])
	binary.BigEndian.PutUint16(tcp[16:18], fold(uint64(field)+uint64(^uint16(was))+uint64(is)))
}

// Materialize appends to dst the bytes of the i-th virtual segment as an ordinary
// packet with complete checksums. Where the packet is one segment whose checksum
// is complete already, right or wrong, it is copied as it is.
func (p *Packet) Materialize(i int, dst []byte) []byte {
	var head [MaxHeader]byte
	n, body, _ := p.Slice(head[:], i, i+1)
	at := len(dst)
	dst = append(append(dst, head[:n]...), body...)
	if p.partial {
		FinishChecksum(dst[at:])
	}
	return dst
}
