package conntrack

import (
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A Segment is what an endpoint judges a segment by. It holds no reference to
// the packet it came from.
type Segment struct {
	Seq, Ack seq.Num
	Len      uint32 // payload bytes
	Flags    wire.Flags
	Window   uint16 // as it stands in the header, unscaled
	HasScale bool   // a SYN that offers window scaling, by Scale
	Scale    uint8
	HasTS    bool // it carries timestamps
	TSVal    uint32
	TSEcr    uint32
	SACK     bool // a SYN that permits selective acknowledgments
}

// Read takes from a packet what does not differ between its virtual segments; Set
// then makes it each of them in turn.
func Read(p *wire.Packet) (s Segment) {
	s.TSVal, s.TSEcr, s.HasTS = p.Timestamps()
	if p.Flags().Has(wire.SYN) {
		o := p.SynOptions()
		s.HasScale, s.Scale, s.SACK = o.HasWScale, o.WScale, o.SACKPermitted
	}
	return s
}

// Set gives s the numbers of one virtual segment of its packet.
func (s *Segment) Set(v wire.Segment) {
	s.Seq, s.Ack, s.Flags, s.Window = v.Seq, v.Ack, v.Flags, v.Window
	s.Len = uint32(v.Len)
}

func (s *Segment) has(f wire.Flags) bool { return s.Flags&f != 0 }

// End is the number after the segment: SEG.SEQ + SEG.LEN, where SYN and FIN
// count (RFC 9293, section 3.4).
func (s *Segment) End() seq.Num {
	end := s.Seq.Add(s.Len)
	if s.has(wire.SYN) {
		end = end.Add(1)
	}
	if s.has(wire.FIN) {
		end = end.Add(1)
	}
	return end
}

// minusOne steps back by one in sequence space.
const minusOne = ^uint32(0)

// fin is the number of the segment's FIN.
func (s *Segment) fin() seq.Num { return s.End().Add(minusOne) }

// bare tells that the segment carries nothing but an acknowledgment.
func (s *Segment) bare() bool {
	return s.Len == 0 && s.Flags&(wire.SYN|wire.FIN|wire.RST|wire.ACK) == wire.ACK
}
