package capture

import (
	"encoding/binary"
	"fmt"

	"github.com/gopacket/gopacket/layers"
)

// Link types that the layers package does not name (tcpdump.org/linktypes.html).
const (
	linkRawBSD     layers.LinkType = 12 // DLT_RAW as some systems store it
	linkRawOpenBSD layers.LinkType = 14
)

// headers holds, for each link type we read, the function that strips it.
var headers = map[layers.LinkType]func([]byte) ([]byte, bool){
	layers.LinkTypeNull:      stripNull,
	layers.LinkTypeLoop:      stripNull,
	layers.LinkTypeEthernet:  func(b []byte) ([]byte, bool) { return stripEther(b, 12, 14) },
	layers.LinkTypeLinuxSLL:  func(b []byte) ([]byte, bool) { return stripEther(b, 14, 16) },
	layers.LinkTypeLinuxSLL2: func(b []byte) ([]byte, bool) { return stripEther(b, 0, 20) },
	layers.LinkTypeRaw:       stripNothing,
	layers.LinkTypeIPv4:      stripNothing,
	layers.LinkTypeIPv6:      stripNothing,
	linkRawBSD:               stripNothing,
	linkRawOpenBSD:           stripNothing,
}

func supported(link layers.LinkType) bool { return headers[link] != nil }

func unsupported(link layers.LinkType) error {
	name := ""
	if s := link.String(); s != "UnknownLinkType" {
		name = " (" + s + ")"
	}
	return fmt.Errorf("link type %d%s is not supported; we read Ethernet, Linux cooked, null, loop and raw IP", link, name)
}

// stripLink returns the IP packet in a frame, without what a short Ethernet
// frame is padded with. It is not whole where its header announces more bytes
// than there are; not ok where the frame holds no IP packet.
func stripLink(link layers.LinkType, b []byte) (ip []byte, whole, ok bool) {
	ip, ok = headers[link](b)
	if !ok {
		return nil, false, false
	}
	size, ok := ipLength(ip)
	if !ok {
		return nil, false, false
	}
	return ip[:min(size, len(ip))], size <= len(ip), true
}

// ipLength reads the length of a packet from its IP header. A super-packet that
// is too long to say (0, "BIG TCP") is as long as it was captured.
func ipLength(b []byte) (int, bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		if n := int(binary.BigEndian.Uint16(b[2:])); n != 0 {
			return n, n >= 20
		}
		return len(b), true
	case len(b) >= 40 && b[0]>>4 == 6:
		if n := int(binary.BigEndian.Uint16(b[4:])); n != 0 {
			return 40 + n, true
		}
		return len(b), true
	default:
		return 0, false
	}
}

func stripNothing(b []byte) ([]byte, bool) { return b, true }

// stripEther strips a header of the given length that has an EtherType at the
// given place, and the VLAN tags (IEEE 802.1Q, 802.1ad) behind it.
func stripEther(b []byte, typeAt, length int) ([]byte, bool) {
	if len(b) < length {
		return nil, false
	}
	etherType, b := binary.BigEndian.Uint16(b[typeAt:]), b[length:]
	for {
		switch etherType {
		case 0x0800, 0x86dd:
			return b, true
		case 0x8100, 0x88a8, 0x9100:
			if len(b) < 4 {
				return nil, false
			}
			etherType, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		default:
			return nil, false
		}
	}
}

// stripNull strips the address family of BSD loopback devices. NULL has it in
// the byte order of the machine that captured, LOOP in network order, and IPv6
// has another number on each system: small numbers all, so either order is told.
func stripNull(b []byte) ([]byte, bool) {
	if len(b) < 4 {
		return nil, false
	}
	switch min(binary.LittleEndian.Uint32(b), binary.BigEndian.Uint32(b)) {
	case 2, 10, 24, 28, 30:
		return b[4:], true
	default:
		return nil, false
	}
}
