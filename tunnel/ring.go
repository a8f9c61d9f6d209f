package tunnel

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// setRing sets the length of the interface's rings (txqueuelen) by rtnetlink. The ioctl
// for it, SIOCSIFTXQLEN, asks for rights over the whole machine (capable in dev_ioctl),
// which root of a user namespace does not have.
func setRing(name string, packets uint32) error {
	sock, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	if err := unix.Sendto(sock, ringMessage(name, packets), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, unix.Getpagesize())
	n, _, err := unix.Recvfrom(sock, answer, 0)
	if err != nil {
		return err
	}
	return acknowledged(answer[:n])
}

// ringMessage asks for the change, and for an answer (rtnetlink(7)).
func ringMessage(name string, packets uint32) []byte {
	order := binary.NativeEndian
	m := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg) // the index stays 0: the name counts
	m = appendAttribute(m, unix.IFLA_IFNAME, append([]byte(name), 0))
	m = appendAttribute(m, unix.IFLA_TXQLEN, order.AppendUint32(nil, packets))
	order.PutUint32(m[0:], uint32(len(m)))
	order.PutUint16(m[4:], unix.RTM_NEWLINK)
	order.PutUint16(m[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	return m
}

// appendAttribute appends type, length and value, padded to a multiple of 4.
func appendAttribute(m []byte, kind uint16, value []byte) []byte {
	order := binary.NativeEndian
	m = order.AppendUint16(m, uint16(unix.SizeofRtAttr+len(value)))
	m = order.AppendUint16(m, kind)
	m = append(m, value...)
	return append(m, make([]byte, -len(value)&3)...)
}

// acknowledged reads the error number in the kernel's answer; 0 is success.
func acknowledged(answer []byte) error {
	order := binary.NativeEndian
	if len(answer) < unix.SizeofNlMsghdr+4 || order.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("rtnetlink: not an acknowledgment: %x", answer)
	}
	if errno := int32(order.Uint32(answer[unix.SizeofNlMsghdr:])); errno != 0 {
		return unix.Errno(-errno)
	}
	return nil
}
