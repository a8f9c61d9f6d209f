package wire

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// maxPacket is the longest packet whose length fits its header; of IPv6 we use no
// more either.
const maxPacket = 65535

// maxOptions is the room for options in a TCP header.
const maxOptions = 40

// A Build is a TCP segment to be made. The zero value of a field is what the
// field's comment says, else zero.
type Build struct {
	Src, Dst netip.AddrPort // of one family; IPv4 in IPv6 counts as IPv4
	Seq, Ack uint32
	Flags    Flags
	Window   uint16 // as in the header, not scaled
	Urgent   uint16
	Options  []byte // as the Append functions make them; padded with zeros to a multiple of 4
	Payload  []byte

	TTL     uint8  // 0 for 64
	TOS     uint8  // DSCP and ECN
	ID      uint16 // IPv4 only
	NoDF    bool   // IPv4 only; TCP wants DF, so it is set unless this is
	Partial bool   // the TCP checksum is partial
}

// Append appends the packet to dst, its checksums valid, and allocates only if
// dst lacks the room. Options and Payload are copied.
//
// It panics if the addresses are not two of one family, if the options take more
// than 40 bytes, or the packet more than 65535.
func (b *Build) Append(dst []byte) []byte {
	src, to := b.Src.Addr().Unmap(), b.Dst.Addr().Unmap()
	size := tcpLen + (len(b.Options)+3)&^3
	switch {
	case !src.IsValid() || src.BitLen() != to.BitLen():
		panic("wire: Build: addresses of one family wanted")
	case size > tcpLen+maxOptions:
		panic("wire: Build: options too long")
	case ipSize(src)+size+len(b.Payload) > maxPacket:
		panic("wire: Build: packet too long")
	}
	dst, packet := grow(dst, ipSize(src)+size+len(b.Payload))
	ip, segment := packet[:ipSize(src)], packet[ipSize(src):]
	putIP(ip, src, to, b.frame(len(segment)))
	b.putTCP(segment[:size])
	copy(segment[size:], b.Payload)
	if b.Partial {
		binary.BigEndian.PutUint16(segment[16:18], pseudo(ip, src.Is6(), protoTCP, len(segment)))
	} else {
		putChecksum(ip, src.Is6(), segment, nil)
	}
	return dst
}

func (b *Build) frame(size int) frame {
	ttl := b.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	return frame{proto: protoTCP, size: size, ttl: ttl, tos: b.TOS, id: b.ID, df: !b.NoDF}
}

// putTCP writes the header but for its checksum, which becomes zero. tcp has the
// size of the header.
func (b *Build) putTCP(tcp []byte) {
	binary.BigEndian.PutUint16(tcp[0:2], b.Src.Port())
	binary.BigEndian.PutUint16(tcp[2:4], b.Dst.Port())
	binary.BigEndian.PutUint32(tcp[4:8], b.Seq)
	binary.BigEndian.PutUint32(tcp[8:12], b.Ack)
	binary.BigEndian.PutUint16(tcp[12:14], uint16(len(tcp)/4)<<12|uint16(b.Flags&allFlags))
	binary.BigEndian.PutUint16(tcp[14:16], b.Window)
	binary.BigEndian.PutUint16(tcp[16:18], 0)
	binary.BigEndian.PutUint16(tcp[18:20], b.Urgent)
	n := copy(tcp[tcpLen:], b.Options)
	clear(tcp[tcpLen+n:])
}

// defaultTTL is what Linux starts with.
const defaultTTL = 64

// A frame is what an IP header says besides the addresses.
type frame struct {
	proto    uint8
	size     int // bytes behind the header
	ttl, tos uint8
	id       uint16
	df       bool
}

// ipSize is the size of a header for addresses such as addr.
func ipSize(addr netip.Addr) int {
	if addr.Is4() {
		return ipv4Len
	}
	return ipv6Len
}

// putIP writes an IP header; ip has its size.
func putIP(ip []byte, src, dst netip.Addr, f frame) {
	if src.Is4() {
		putIPv4(ip, src.As4(), dst.As4(), f)
	} else {
		putIPv6(ip, src.As16(), dst.As16(), f)
	}
}

func putIPv4(ip []byte, src, dst [4]byte, f frame) {
	ip[0], ip[1] = 0x45, f.tos
	binary.BigEndian.PutUint16(ip[2:4], uint16(ipv4Len+f.size))
	binary.BigEndian.PutUint16(ip[4:6], f.id)
	ip[6], ip[7] = 0, 0
	if f.df {
		ip[6] = 0x40
	}
	ip[8], ip[9] = f.ttl, f.proto
	copy(ip[12:16], src[:])
	copy(ip[16:20], dst[:])
	putHeaderChecksum(ip)
}

func putIPv6(ip []byte, src, dst [16]byte, f frame) {
	binary.BigEndian.PutUint32(ip[0:4], 6<<28|uint32(f.tos)<<20)
	binary.BigEndian.PutUint16(ip[4:6], uint16(f.size))
	ip[6], ip[7] = f.proto, f.ttl
	copy(ip[8:24], src[:])
	copy(ip[24:40], dst[:])
}

// grow makes dst longer by n bytes of any content, and gives these apart too.
func grow(dst []byte, n int) (all, added []byte) {
	all = slices.Grow(dst, n)[:len(dst)+n]
	return all, all[len(dst):]
}

// AppendNOP appends n NOPs, for alignment or in place of an option.
func AppendNOP(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, OptNOP)
	}
	return dst
}

// AppendMSS appends a maximum segment size option.
func AppendMSS(dst []byte, mss uint16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, OptMSS, 4), mss)
}

// AppendWScale appends a window scale option; the shift is written as it is.
func AppendWScale(dst []byte, shift uint8) []byte { return append(dst, OptWScale, 3, shift) }

// AppendSACKPermitted appends a SACK-permitted option.
func AppendSACKPermitted(dst []byte) []byte { return append(dst, OptSACKPermitted, 2) }

// AppendTimestamps appends a timestamps option; two NOPs before it align it.
func AppendTimestamps(dst []byte, val, ecr uint32) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, OptTimestamps, 10), val)
	return binary.BigEndian.AppendUint32(dst, ecr)
}

// AppendSACK appends a SACK option of at most four blocks; two NOPs before it
// align it.
func AppendSACK(dst []byte, blocks ...seq.Range) []byte {
	dst = append(dst, OptSACK, uint8(2+8*len(blocks)))
	for _, b := range blocks {
		dst = binary.BigEndian.AppendUint32(dst, uint32(b.From))
		dst = binary.BigEndian.AppendUint32(dst, uint32(b.To))
	}
	return dst
}
