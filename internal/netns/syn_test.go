package netns

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// sendSYN puts a SYN from 10.77.2.1:40000 to 10.77.1.1 on the loopback device of
// n. It carries no options.
func sendSYN(t *testing.T, n *NS, port uint16) {
	t.Helper()
	src, dst := [4]byte{10, 77, 2, 1}, [4]byte{10, 77, 1, 1}
	b := make([]byte, 40)
	b[0] = 0x45                       // IPv4, five words
	b[8], b[9] = 64, unix.IPPROTO_TCP // TTL, protocol; length and checksum by the kernel
	copy(b[12:16], src[:])            // not an address of n: hence the own IP header
	copy(b[16:20], dst[:])

	tcp := b[20:]
	binary.BigEndian.PutUint16(tcp, 40000)
	binary.BigEndian.PutUint16(tcp[2:], port)
	binary.BigEndian.PutUint32(tcp[4:], 1000) // ISN
	tcp[12], tcp[13] = 5<<4, 0x02             // five words, SYN
	binary.BigEndian.PutUint16(tcp[14:], 65535)
	binary.BigEndian.PutUint16(tcp[16:], tcpSum(b))
	err := n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: dst})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tcpSum returns the checksum of the segment in an option-less IPv4 packet
// (RFC 9293, section 3.1: pseudo header, then the segment).
func tcpSum(b []byte) uint16 {
	sum := uint32(unix.IPPROTO_TCP) + uint32(len(b)-20)
	for i := 12; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
