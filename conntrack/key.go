package conntrack

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// A Key is a 4-tuple in one order for both directions: the smaller
// address and port is its low end. IPv4 addresses are kept mapped into IPv6.
type Key struct {
	low, high         [2]uint64
	lowPort, highPort uint16
}

// KeyOf makes the key of a segment from src to dst. srcIsLow tells which end
// of the key the sender is.
func KeyOf(src, dst *[16]byte, srcPort, dstPort uint16) (k Key, srcIsLow bool) {
	s := [2]uint64{binary.BigEndian.Uint64(src[:8]), binary.BigEndian.Uint64(src[8:])}
	d := [2]uint64{binary.BigEndian.Uint64(dst[:8]), binary.BigEndian.Uint64(dst[8:])}
	if less(s, d) || s == d && srcPort <= dstPort {
		return Key{s, d, srcPort, dstPort}, true
	}
	return Key{d, s, dstPort, srcPort}, false
}

// KeyBetween is KeyOf for addresses as netip has them.
func KeyBetween(src, dst netip.AddrPort) (k Key, srcIsLow bool) {
	s, d := src.Addr().As16(), dst.Addr().As16()
	return KeyOf(&s, &d, src.Port(), dst.Port())
}

func less(a, b [2]uint64) bool {
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}

func addrPort(addr [2]uint64, port uint16) netip.AddrPort {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], addr[0])
	binary.BigEndian.PutUint64(raw[8:], addr[1])
	return netip.AddrPortFrom(netip.AddrFrom16(raw).Unmap(), port)
}

// hash spreads keys over the table. The seed differs from table to table, so
// that nobody can aim connections at one bucket; no result depends on it.
func (k *Key) hash(seed uint64) uint64 {
	const m1, m2, m3 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3
	h := mix(k.low[0]^m1^seed, k.high[0]^m2)
	h ^= mix(k.low[1]^m2, k.high[1]^m3^seed)
	return mix(h^m1, uint64(k.lowPort)<<16|uint64(k.highPort)^m3)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
