package tunnel_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
	"golang.org/x/sys/unix"
)

// A rig is a device and the means to play the other end, whatever its backend.
type rig struct {
	dev  tunnel.Device
	put  func(h tunnel.Header, packet []byte) // make the device readable
	take func() (h tunnel.Header, packet []byte, err error)
	ring int // packets that fit unread
}

// receiveTimeout is how long a packet may be on its way inside one machine that has much else to do.
const receiveTimeout = 20 * time.Second

var backends = []struct {
	name    string
	offload bool
	start   func(t *testing.T) *rig
}{
	{"plain", false, func(t *testing.T) *rig { return startKernel(t, tunnel.Off) }},
	{"offload", true, func(t *testing.T) *rig { return startKernel(t, tunnel.On) }},
	{"fake", false, func(t *testing.T) *rig { return startFake(t, false) }},
	{"fake-offload", true, func(t *testing.T) *rig { return startFake(t, true) }},
}

// eachBackend is one set of claims about four devices.
func eachBackend(t *testing.T, claim func(t *testing.T, r *rig)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			r := b.start(t)
			if got := r.dev.Offload(); got != b.offload {
				t.Fatalf("Offload() = %t, want %t", got, b.offload)
			}
			claim(t, r)
		})
	}
}

// read reads one packet, waiting for it.
func (r *rig) read(t testing.TB) (tunnel.Header, []byte) {
	t.Helper()
	b := make([]byte, tunnel.MaxPacket)
	for end := time.Now().Add(receiveTimeout); time.Now().Before(end); time.Sleep(50 * time.Microsecond) {
		n, h, err := r.dev.Queue(0).Read(b)
		if err == nil {
			return h, b[:n]
		}
		if err != tunnel.ErrEmpty {
			t.Fatal(err)
		}
	}
	t.Fatal("no packet arrived")
	return tunnel.Header{}, nil
}

// poller makes a Poller of all queues of the device.
func (r *rig) poller(t testing.TB) tunnel.Poller {
	t.Helper()
	p, err := tunnel.NewPoller(queues(r.dev)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func queues(devices ...tunnel.Device) (all []tunnel.Queue) {
	for _, d := range devices {
		for i := range d.Queues() {
			all = append(all, d.Queue(i))
		}
	}
	return all
}

func startFake(t testing.TB, offload bool) *rig {
	const ring = 100
	d := tunneltest.New(t, tunneltest.WithOffload(offload), tunneltest.WithRing(ring))
	return &rig{
		dev:  d,
		ring: ring,
		put:  func(h tunnel.Header, packet []byte) { d.Send(h, packet) },
		take: func() (tunnel.Header, []byte, error) { return d.Receive(receiveTimeout) },
	}
}

// startKernel opens a device in a silent namespace and a packet socket on it.
func startKernel(t testing.TB, mode tunnel.OffloadMode) *rig {
	ns := newNetns(t)
	ns.silence(t)
	d := ns.open(t, tunnel.Config{Offload: mode})
	if err := tunnel.Up(d); err != nil {
		t.Fatal(err)
	}
	s := openTap(t, ns, d.Name())
	return &rig{
		dev:  d,
		ring: tunnel.RingLen,
		put:  func(h tunnel.Header, packet []byte) { s.send(t, h, packet) },
		take: s.receive,
	}
}

// A tap is a packet socket on a TUN device, with virtio headers: what it sends
// becomes readable on the device exactly so, and what is written to the device
// arrives here.
type tap struct{ fd, index int }

func openTap(t testing.TB, ns *netns, name string) *tap {
	t.Helper()
	s := &tap{fd: -1}
	ns.must(t, func() error { return s.open(name) })
	t.Cleanup(func() { unix.Close(s.fd) })
	return s
}

func (s *tap) open(name string) error {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	s.index = iface.Index
	if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	for option, value := range map[int]int{unix.PACKET_VNET_HDR: 1, unix.PACKET_IGNORE_OUTGOING: 1} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, option, value); err != nil {
			return fmt.Errorf("packet socket option %d: %w", option, err)
		}
	}
	timeout := unix.NsecToTimeval(int64(receiveTimeout))
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}
	return unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: s.index})
}

const virtioLen = 10

func (s *tap) send(t testing.TB, h tunnel.Header, packet []byte) {
	t.Helper()
	frame := make([]byte, virtioLen, virtioLen+len(packet))
	frame[0], frame[1] = h.Flags, h.GSOType
	for i, v := range []uint16{h.HdrLen, h.GSOSize, h.CsumStart, h.CsumOffset} {
		binary.NativeEndian.PutUint16(frame[2+2*i:], v)
	}
	protocol := uint16(unix.ETH_P_IP)
	if packet[0]>>4 == 6 {
		protocol = unix.ETH_P_IPV6
	}
	to := &unix.SockaddrLinklayer{Protocol: networkOrder(protocol), Ifindex: s.index}
	// A full ring answers ENOBUFS, and counts.
	if err := unix.Sendto(s.fd, append(frame, packet...), 0, to); err != nil && err != unix.ENOBUFS {
		t.Fatalf("send on tap: %v", err)
	}
}

func (s *tap) receive() (tunnel.Header, []byte, error) {
	b := make([]byte, virtioLen+tunnel.MaxPacket)
	n, _, err := unix.Recvfrom(s.fd, b, 0)
	if err != nil {
		return tunnel.Header{}, nil, fmt.Errorf("receive on tap: %w", err)
	}
	u16 := func(i int) uint16 { return binary.NativeEndian.Uint16(b[i:]) }
	h := tunnel.Header{Flags: b[0], GSOType: b[1], HdrLen: u16(2), GSOSize: u16(4), CsumStart: u16(6), CsumOffset: u16(8)}
	return h, b[virtioLen:n], nil
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// tcpIPv4 is a segment from 192.0.2.1:1000 to 192.0.2.2:2000 with a payload of
// counting bytes. Its checksums are wrong, which nobody here looks at.
func tcpIPv4(payload int) []byte {
	p := make([]byte, 40+payload)
	p[0] = 0x45                                       // version 4, header of 5 words
	binary.BigEndian.PutUint16(p[2:], uint16(len(p))) // total length
	p[8], p[9] = 64, unix.IPPROTO_TCP                 // TTL, protocol
	copy(p[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})  // source, destination
	binary.BigEndian.PutUint16(p[20:], 1000)          // source port
	binary.BigEndian.PutUint16(p[22:], 2000)          // destination port
	p[32], p[33] = 5<<4, 0x10                         // header of 5 words; ACK
	for i := range payload {
		p[40+i] = byte(i)
	}
	return p
}

// superIPv4 is the header of a tcpIPv4 that stands for several segments.
func superIPv4(mss uint16) tunnel.Header {
	return tunnel.Header{
		Flags: tunnel.NeedsCsum, GSOType: tunnel.GSOTCPv4,
		HdrLen: 40, GSOSize: mss, CsumStart: 20, CsumOffset: 16,
	}
}
