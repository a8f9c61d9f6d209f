package replay

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/capture"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// sides knows on which side of the box the hosts of a capture stand.
type sides struct {
	start      time.Time
	ours       bool  // we have written it: the names of its interfaces are those of the sides
	interfaces []int // those that carry packets
	flows      map[conntrack.Key]*flow
}

// A flow is all packets between two ends.
type flow struct {
	first   [2]int // interface of the low end's first packet, and of the other's, + 1; 0: there is none
	crosses bool   // packets of one end are seen on two interfaces
	placed  bool   // low is valid
	low     int    // side of the low end
}

// survey reads a capture once: where it begins, which interfaces it uses, and which
// packets on each.
func survey(in string) (*sides, error) {
	reader, err := capture.Open(in)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	s := &sides{flows: make(map[conntrack.Key]*flow)}
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
		s.meet(packet)
	})
	switch {
	case err != nil:
		return err
	case len(names) == 0 && reader.Skipped() > 0:
		return errors.New("no frame of the capture holds an IP packet")
	}
	return s.order(names)
}

// meet notes on which interface a packet is seen.
func (s *sides) meet(packet *capture.Packet) {
	key, srcIsLow := keyOf(packet.Data)
	f := s.flows[key]
	if f == nil {
		f = &flow{}
		s.flows[key] = f
	}
	first := &f.first[end(srcIsLow)]
	if *first == 0 {
		*first = packet.Interface + 1
	}
	f.crosses = f.crosses || *first != packet.Interface+1
}

// end is the index of the low end of a 4-tuple, or of the other.
func end(low bool) int {
	if low {
		return 0
	}
	return 1
}

// alone tells whether both ends of a flow are seen on one interface, and on no other: it does
// not go through what stands between the two.
func (f *flow) alone() bool {
	return !f.crosses && f.first[0] == f.first[1]
}

// order says which interfaces are the sides: those that bear our own names, else the two that
// carry packets, by their numbers.
func (s *sides) order(names map[int]string) error {
	s.interfaces = slices.Sorted(maps.Keys(names))
	s.ours = true
	for _, name := range names {
		s.ours = s.ours && slices.Contains(Interfaces, name)
	}
	switch n := len(names); n {
	case 0:
		return errors.New("the capture holds no packet")
	case 1, 2:
		return nil
	default:
		return fmt.Errorf("packets on %d interfaces; the box has two sides", n)
	}
}

// seenOn is the side of the interface on which a packet is seen.
func (s *sides) seenOn(packet *capture.Packet) int {
	if s.ours {
		return slices.Index(Interfaces, packet.InterfaceName)
	}
	return slices.Index(s.interfaces, packet.Interface)
}

// of says on which side the sender of a packet stands, and whether the packet was only
// delivered where it is seen, on the side of its receiver.
func (s *sides) of(packet *capture.Packet) (side int, delivered bool) {
	key, srcIsLow := keyOf(packet.Data)
	f, seen := s.flows[key], s.seenOn(packet)
	alone := len(s.interfaces) == 1 || !s.ours && f.alone()
	if !f.placed {
		sender := seen
		if alone {
			sender = senderSide(packet.Data)
		}
		f.low, f.placed = sender^end(srcIsLow), true
	}
	side = f.low ^ end(srcIsLow)
	return side, !alone && side != seen || s.ours && forged(packet)
}

// forged tells whether a capture of ours says so of a packet: nobody has sent it.
func forged(packet *capture.Packet) bool {
	return slices.ContainsFunc(packet.Comments, func(c string) bool { return strings.HasPrefix(c, engine.Forged.String()) })
}

// keyOf is the 4-tuple of a packet and its sender's place in it. An ICMP error belongs to the
// connection that it is about, and comes from the side of the endpoint that it speaks of. What
// is no TCP has a key of its addresses alone.
func keyOf(data []byte) (key conntrack.Key, srcIsLow bool) {
	var p wire.Packet
	switch p.Parse(data, 0, false) {
	case wire.OK:
		return conntrack.KeyBetween(p.SrcAddrPort(), p.DstAddrPort())
	case wire.ICMPError:
		e, _ := wire.ParseICMPError(data)
		return conntrack.KeyBetween(e.Dst, e.Src)
	}
	return conntrack.KeyBetween(addresses(data))
}

// addresses are those of an IP header, which each packet of a capture.Reader has, with port 0.
func addresses(data []byte) (src, dst netip.AddrPort) {
	at, size := 12, 4
	if data[0]>>4 == 6 {
		at, size = 8, 16
	}
	a, _ := netip.AddrFromSlice(data[at : at+size])
	b, _ := netip.AddrFromSlice(data[at+size : at+2*size])
	return netip.AddrPortFrom(a, 0), netip.AddrPortFrom(b, 0)
}

// senderSide is the side of the sender of the first packet: the client's for a SYN, and where
// there is none the end with the higher port is taken for the client.
func senderSide(data []byte) int {
	var p wire.Packet
	if p.Parse(data, 0, false) != wire.OK {
		return 0
	}
	syn, ack := p.Flags().Has(wire.SYN), p.Flags().Has(wire.ACK)
	if syn && ack || !syn && p.SrcPort() < p.DstPort() {
		return 1
	}
	return 0
}
