package conntrack

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A Key is a 4-tuple in one order for both directions: the smaller
// address and port is its low end. IPv4 addresses are kept mapped into IPv6.
type Key struct {
	low, high         wire.Addr
	lowPort, highPort uint16
}

// set makes k the key of a segment from src to dst. It tells whether the sender is
// the low end.
func (k *Key) set(src, dst wire.Addr, srcPort, dstPort uint16) (srcIsLow bool) {
	if src.Less(dst) || src == dst && srcPort <= dstPort {
		k.low, k.high, k.lowPort, k.highPort = src, dst, srcPort, dstPort
		return true
	}
	k.low, k.high, k.lowPort, k.highPort = dst, src, dstPort, srcPort
	return false
}

// of makes k the key of a packet.
func (k *Key) of(p *wire.Packet) (srcIsLow bool) {
	src, dst := p.Addrs()
	return k.set(src, dst, p.SrcPort(), p.DstPort())
}

// KeyBetween makes the key of a segment from src to dst. srcIsLow tells which end
// of the key the sender is.
func KeyBetween(src, dst netip.AddrPort) (k Key, srcIsLow bool) {
	srcIsLow = k.set(addrOf(src.Addr()), addrOf(dst.Addr()), src.Port(), dst.Port())
	return k, srcIsLow
}

func addrOf(a netip.Addr) wire.Addr {
	raw := a.As16()
	return wire.Addr{Hi: binary.BigEndian.Uint64(raw[:8]), Lo: binary.BigEndian.Uint64(raw[8:])}
}

func addrPort(a wire.Addr, port uint16) netip.AddrPort {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], a.Hi)
	binary.BigEndian.PutUint64(raw[8:], a.Lo)
	return netip.AddrPortFrom(netip.AddrFrom16(raw).Unmap(), port)
}

// hash spreads keys over the table. The seed differs from table to table, so
// that nobody can aim connections at one bucket; no result depends on it.
func (k *Key) hash(seed uint64) uint64 {
	const m1, m2, m3 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3
	h := mix(k.low.Hi^m1^seed, k.high.Hi^m2)
	h ^= mix(k.low.Lo^m2, k.high.Lo^m3^seed)
	return mix(h^m1, uint64(k.lowPort)<<16|uint64(k.highPort)^m3)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
