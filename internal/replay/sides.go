package replay

import (
	"errors"
	"fmt"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/capture"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// sides knows on which side of the box the hosts of a capture stand.
type sides struct {
	start      time.Time
	interfaces []int                 // those that carry packets, in the order of their sides
	lowSide    map[conntrack.Key]int // side of the low end of each 4-tuple
}

// survey reads a capture once: where it begins and which interfaces it uses.
func survey(in string) (*sides, error) {
	reader, err := capture.Open(in)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	s := &sides{lowSide: make(map[conntrack.Key]int)}
	if err := s.read(reader); err != nil {
		return nil, fmt.Errorf("%s: %w", in, err)
	}
	return s, nil
}

func (s *sides) read(reader *capture.Reader) error {
	names := map[int]string{}
	_, err := each(reader, func(packet *capture.Packet) {
		if s.start.IsZero() || packet.Time.Before(s.start) {
			s.start = packet.Time
		}
		names[packet.Interface] = packet.InterfaceName
	})
	if err != nil {
		return err
	}
	return s.order(names)
}

// order puts the interfaces into the order of the sides: by our own names for
// them, else by their numbers.
func (s *sides) order(names map[int]string) error {
	switch len(names) {
	case 0:
		return errors.New("the capture holds no packet")
	case 1, 2:
	default:
		return fmt.Errorf("packets on %d interfaces; the box has two sides", len(names))
	}
	for i := 0; len(s.interfaces) < len(names); i++ {
		if _, used := names[i]; used {
			s.interfaces = append(s.interfaces, i)
		}
	}
	if first := names[s.interfaces[0]]; len(names) == 2 && first == Interfaces[1] {
		s.interfaces[0], s.interfaces[1] = s.interfaces[1], s.interfaces[0]
	}
	return nil
}

// of says on which side the sender of a packet stands, and whether the packet
// was seen before, on the interface where it was sent.
func (s *sides) of(packet *capture.Packet) (side int, delivered bool) {
	seen := 0
	if len(s.interfaces) == 2 && packet.Interface == s.interfaces[1] {
		seen = 1
	}
	var seg wire.Packet
	if seg.Parse(packet.Data, 0, false) != wire.OK {
		return seen, false
	}
	key, srcIsLow := conntrack.KeyBetween(seg.SrcAddrPort(), seg.DstAddrPort())
	low, known := s.lowSide[key]
	if !known {
		low = seen
		if len(s.interfaces) == 1 {
			low = senderSide(&seg)
		}
		if !srcIsLow {
			low = 1 - low
		}
		s.lowSide[key] = low
	}
	side = low
	if !srcIsLow {
		side = 1 - low
	}
	return side, len(s.interfaces) == 2 && side != seen
}

// senderSide is the side of the sender of a connection's first segment: the
// client's for a SYN, and where there is none the end with the higher port is
// taken for the client.
func senderSide(p *wire.Packet) int {
	syn, ack := p.Flags().Has(wire.SYN), p.Flags().Has(wire.ACK)
	if syn && ack || !syn && p.SrcPort() < p.DstPort() {
		return 1
	}
	return 0
}
