package capture

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// ipPacket builds an IP packet between two hosts with n payload bytes of no
// protocol; v6 is by the addresses.
func ipPacket(src, dst string, n int) []byte {
	from, to := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	var b []byte
	if from.Is4() {
		b = make([]byte, 20)
		b[0] = 0x45 // IPv4, five words
		binary.BigEndian.PutUint16(b[2:], uint16(20+n))
		b[8], b[9] = 64, 59 // TTL; no next header
		copy(b[12:], from.AsSlice())
		copy(b[16:], to.AsSlice())
	} else {
		b = make([]byte, 40)
		b[0] = 0x60 // IPv6
		binary.BigEndian.PutUint16(b[4:], uint16(n))
		b[6], b[7] = 59, 64 // no next header; hop limit
		copy(b[8:], from.AsSlice())
		copy(b[24:], to.AsSlice())
	}
	return append(b, bytes.Repeat([]byte{'x'}, n)...)
}

func ipv4(n int) []byte { return ipPacket("10.77.1.1", "10.77.2.1", n) }
func ipv6(n int) []byte { return ipPacket("fd77:1::1", "fd77:2::1", n) }
