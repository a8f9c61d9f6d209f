package wire

import "encoding/binary"

// Part makes q a view of the virtual segments [from, to) of p, with headers of its own
// in head, which has room for MaxHeader bytes: they may be edited, and p stays as it is.
// The payload is p's. It panics as Slice does. Of q.Data only the headers are there;
// what leaves is Headers and Payload.
func (p *Packet) Part(q *Packet, head []byte, from, to int) {
	n, body, gso := p.Slice(head, from, to)
	ip := len(p.ip)
	*q = Packet{
		data: head[:n], ip: head[:ip], tcp: head[ip:n], payload: body,
		gso: gso, segs: to - from, v6: p.v6, partial: p.partial,
	}
}

// Headers are the bytes of the IP and the TCP header.
func (p *Packet) Headers() []byte { return p.data[:p.HeaderLen()] }

// Refill gives a view that Part has made another payload, to be cut into segments of
// size bytes; 0 leaves it in one. A super-packet gets a partial checksum. Otherwise the
// checksum stays partial or complete, and is right. The headers and the payload take at
// most 65535 bytes, or Refill panics.
func (p *Packet) Refill(payload []byte, size int) {
	if p.HeaderLen()+len(payload) > maxPacket {
		panic("wire: Refill: packet too long")
	}
	p.payload, p.gso, p.segs = payload, 0, 1
	if size > 0 && len(payload) > size {
		p.gso, p.segs, p.partial = size, (len(payload)+size-1)/size, true
	}
	p.setLength(p.ip, len(p.tcp)+len(payload), 0)
	if !p.partial {
		putChecksum(p.ip, p.v6, p.tcp, payload)
		return
	}
	binary.BigEndian.PutUint16(p.tcp[16:18], pseudo(p.ip, p.v6, protoTCP, len(p.tcp)+len(payload)))
}

// SpoilChecksum makes the TCP checksum of a view complete and wrong.
func (p *Packet) SpoilChecksum() {
	p.partial = false
	putChecksum(p.ip, p.v6, p.tcp, p.payload)
	p.tcp[16] ^= 0xff // which changes the sum by no multiple of 65535
}
