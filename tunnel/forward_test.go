package tunnel_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Real TCP through the smallest box there can be:
//
//	 namespace A               this process                namespace B
//	10.77.1.1/32 ── mgl0 ══ Read ──► Write ══ mgl0 ── 10.77.2.1/32
//	fd77:1::1/128    │                          │     fd77:2::1/128
//	                 └── default routes ────────┘

// A host is a namespace with a device, addresses and default routes.
type host struct {
	ns    *netns
	dev   tunnel.Device
	addrs [2]string // IPv4, IPv6
}

func newHost(t testing.TB, mode tunnel.OffloadMode, addrs [2]string) *host {
	t.Helper()
	h := &host{ns: newNetns(t), addrs: addrs}
	h.dev = h.ns.open(t, tunnel.Config{Offload: mode})
	if err := tunnel.Up(h.dev); err != nil {
		t.Fatal(err)
	}
	h.ns.must(t, func() error { return h.configure() })
	return h
}

func (h *host) configure() error {
	link, err := netlink.LinkByName(h.dev.Name())
	if err != nil {
		return err
	}
	for i, bits := range []string{"/32", "/128"} {
		addr, err := netlink.ParseAddr(h.addrs[i] + bits)
		if err != nil {
			return err
		}
		addr.Flags = unix.IFA_F_NODAD // else it could not be bound yet
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %v: %w", addr, err)
		}
		all := net.IPNet{IP: make(net.IP, len(addr.Mask)), Mask: make(net.IPMask, len(addr.Mask))}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: &all}); err != nil {
			return fmt.Errorf("add route %v: %w", all, err)
		}
	}
	return nil
}

// A forwarder is one worker between two devices: read until dry, write at once.
type forwarder struct {
	devices [2]tunnel.Device
	super   int // packets that were several segments
	largest int
}

func (f *forwarder) run() error {
	p, err := tunnel.NewPoller(queues(f.devices[:]...)...)
	if err != nil {
		return err
	}
	defer p.Close()
	b := make([]byte, tunnel.MaxPacket)
	for {
		if err := p.Wait(-1); err != nil {
			return err
		}
		for i := range 2 {
			err := f.drain(f.devices[i].Queue(0), f.devices[1-i].Queue(0), b)
			if errors.Is(err, os.ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
}

func (f *forwarder) drain(from, to tunnel.Queue, b []byte) error {
	for {
		n, h, err := from.Read(b)
		if err == tunnel.ErrEmpty {
			return nil
		}
		if err != nil {
			return err
		}
		if h.GSO() > 0 {
			f.super++
		}
		f.largest = max(f.largest, n)
		// Two parts, as the box writes what it cuts out of a super-packet.
		if err := to.Write(h, b[:min(n, 40)], b[min(n, 40):n]); err != nil {
			return err
		}
	}
}

func TestForwardTCP(t *testing.T) {
	eachMode(t, func(t *testing.T, mode tunnel.OffloadMode) {
		for i, family := range []string{"v4", "v6"} {
			t.Run(family, func(t *testing.T) { forwardTCP(t, mode, i) })
		}
	})
}

func forwardTCP(t *testing.T, mode tunnel.OffloadMode, family int) {
	a := newHost(t, mode, [2]string{"10.77.1.1", "fd77:1::1"})
	b := newHost(t, mode, [2]string{"10.77.2.1", "fd77:2::1"})
	f := &forwarder{devices: [2]tunnel.Device{a.dev, b.dev}}
	ended := make(chan error, 1)
	go func() { ended <- f.run() }()

	payload := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(payload)
	transfer(t, a.ns, b.ns, b.addrs[family], payload)

	for _, d := range f.devices {
		if n, err := d.Dropped(); n != 0 || err != nil {
			t.Errorf("%s lost %d packets, %v", d.Name(), n, err)
		}
	}
	if err := errors.Join(a.dev.Close(), b.dev.Close(), <-ended); err != nil {
		t.Fatal(err)
	}
	if got, want := f.super > 0, mode != tunnel.Off; got != want {
		t.Errorf("%d super-packets; offload %v", f.super, mode)
	}
	if mode == tunnel.Off && f.largest > a.dev.MTU() {
		t.Errorf("a packet of %d bytes, the MTU is %d", f.largest, a.dev.MTU())
	}
	t.Logf("%d super-packets, largest packet %d bytes", f.super, f.largest)
}

// transfer sends payload from a client in one namespace to a server in another
// and back, and compares it.
func transfer(t testing.TB, client, server *netns, addr string, payload []byte) {
	t.Helper()
	var listener net.Listener
	server.must(t, func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	})
	defer listener.Close()
	served := make(chan error, 1)
	go func() { served <- echo(listener) }()

	var conn net.Conn
	client.must(t, func() (err error) {
		conn, err = net.DialTimeout("tcp", listener.Addr().String(), receiveTimeout)
		return err
	})
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(4 * receiveTimeout))
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(payload)
		sent <- errors.Join(err, conn.(*net.TCPConn).CloseWrite())
	}()
	got, err := io.ReadAll(conn)
	if err := errors.Join(err, <-sent, <-served); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, payload) {
		t.Fatalf("%d bytes came back, not the %d that were sent", len(got), len(payload))
	}
}

func echo(listener net.Listener) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(4 * receiveTimeout))
	if _, err := io.Copy(conn, conn); err != nil {
		return err
	}
	return conn.(*net.TCPConn).CloseWrite()
}
