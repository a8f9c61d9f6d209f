package tunnel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A Header is the virtio_net_hdr of a packet (virtio 1.2, section 5.1.6): what
// the kernel left undone in a packet we read, or may leave undone in one we
// write. The zero value is nothing: one segment whose checksums are complete.
type Header struct {
	Flags      uint8  // NeedsCsum, DataValid
	GSOType    uint8  // GSONone, GSOTCPv4, GSOTCPv6, the latter two perhaps with GSOECN
	HdrLen     uint16 // bytes of all headers of a super-packet; a hint
	GSOSize    uint16 // payload bytes of each segment of a super-packet but the last
	CsumStart  uint16 // with NeedsCsum: offset of the transport header in the packet
	CsumOffset uint16 // with NeedsCsum: offset of its checksum field from CsumStart
}

// Values of Header.Flags.
const (
	// NeedsCsum says that the checksum field holds the sum of the pseudo-header
	// alone. The kernel hands over every segment of a local sender so.
	NeedsCsum = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM

	// DataValid says that the checksum has been verified already.
	DataValid = unix.VIRTIO_NET_HDR_F_DATA_VALID
)

// Values of Header.GSOType.
const (
	GSONone  = unix.VIRTIO_NET_HDR_GSO_NONE
	GSOTCPv4 = unix.VIRTIO_NET_HDR_GSO_TCPV4
	GSOTCPv6 = unix.VIRTIO_NET_HDR_GSO_TCPV6

	// GSOECN is added to the others: the segments carry CWR on the first only
	// (RFC 3168, section 6.1.2).
	GSOECN = unix.VIRTIO_NET_HDR_GSO_ECN
)

// GSO is the payload of each segment but the last, if the packet is a TCP
// super-packet, and 0 otherwise.
func (h Header) GSO() int {
	switch h.GSOType &^ GSOECN {
	case GSOTCPv4, GSOTCPv6:
		return int(h.GSOSize)
	}
	return 0
}

// Partial tells whether the transport checksum is still to be completed.
func (h Header) Partial() bool { return h.Flags&NeedsCsum != 0 }

// NeedsOffload tells whether the packet leaves work to the kernel, which only a
// device with offload takes.
func (h Header) NeedsOffload() bool { return h.Partial() || h.GSOType != GSONone }

// headerLen is the size of the header on the descriptor: the kernel's default,
// without the count of merged buffers.
const headerLen = 10

// encode writes the header as the descriptor takes it. Its numbers are in the
// host's byte order unless TUNSETVNETLE or TUNSETVNETBE says otherwise.
func (h Header) encode(b *[headerLen]byte) {
	b[0], b[1] = h.Flags, h.GSOType
	binary.NativeEndian.PutUint16(b[2:], h.HdrLen)
	binary.NativeEndian.PutUint16(b[4:], h.GSOSize)
	binary.NativeEndian.PutUint16(b[6:], h.CsumStart)
	binary.NativeEndian.PutUint16(b[8:], h.CsumOffset)
}

// decodeHeader is the inverse of encode.
func decodeHeader(b *[headerLen]byte) Header {
	return Header{
		Flags:      b[0],
		GSOType:    b[1],
		HdrLen:     binary.NativeEndian.Uint16(b[2:]),
		GSOSize:    binary.NativeEndian.Uint16(b[4:]),
		CsumStart:  binary.NativeEndian.Uint16(b[6:]),
		CsumOffset: binary.NativeEndian.Uint16(b[8:]),
	}
}
