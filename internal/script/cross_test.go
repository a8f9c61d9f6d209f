package script

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Two hosts with a TUN each, and in between a box that crosses their SYNs:
//
//	client 10.0.0.1 ── tun ── box ── tun ── 10.0.0.2 server
//
// The loopback cannot hold a segment, and without that there is no
// simultaneous open.

// tun makes a device inside the host, routed to its peer.
func (h *host) tun(local, peer string) *os.File {
	h.t.Helper()
	var f *os.File
	err := h.enter(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		ifr, err := unix.NewIfreq("tun0")
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), "tun0")
		return pointToPoint("tun0", local, peer)
	})
	if err != nil && os.Getenv("TCPMANGLE_REQUIRE_TUN") != "1" {
		h.t.Skipf("no TUN device here: %v", err)
	} else if err != nil {
		h.t.Fatal(err)
	}
	f.SetDeadline(time.Now().Add(patience))
	h.t.Cleanup(func() { f.Close() })
	return f
}

// pointToPoint gives a device of the calling thread's namespace its two
// addresses and takes it up.
func pointToPoint(dev, local, peer string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(dev)
	if err != nil {
		return err
	}
	for _, set := range []struct {
		request uint
		addr    string
	}{{unix.SIOCSIFADDR, local}, {unix.SIOCSIFDSTADDR, peer}} {
		ip := netip.MustParseAddr(set.addr).As4()
		if err := ifr.SetInet4Addr(ip[:]); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, set.request, ifr); err != nil {
			return err
		}
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// read4 reads the next IPv4 packet; what the kernel says of itself by IPv6 is
// of no interest.
func read4(f *os.File) ([]byte, error) {
	buf := make([]byte, 2000)
	for {
		n, err := f.Read(buf)
		if err != nil || buf[0]>>4 == 4 {
			return buf[:n], err
		}
	}
}

// forward carries packets one way until a device is closed.
func forward(from, to *os.File) {
	for {
		p, err := read4(from)
		if err != nil {
			return
		}
		if _, err := to.Write(p); err != nil {
			return
		}
	}
}

func TestSimultaneousOpen(t *testing.T) {
	a, b := newHost(t), newHost(t)
	tunA, tunB := a.tun("10.0.0.1", "10.0.0.2"), b.tun("10.0.0.2", "10.0.0.1")

	client := a.start("client", "connect 10.0.0.2:8888 from 7777\nsend from-a\nrecv-text from-b\nclose")
	server := b.start("server", "connect 10.0.0.1:7777 from 8888\nsend from-b\nrecv-text from-a\nrecv eof\nclose")
	synA, err := read4(tunA)
	if err != nil {
		t.Fatalf("%v; %+v", err, client.Progress())
	}
	synB, err := read4(tunB)
	if err != nil {
		t.Fatalf("%v; %+v", err, server.Progress())
	}
	client.in("SYN_SENT")
	server.in("SYN_SENT")

	tunA.Write(synB)
	tunB.Write(synA)
	client.in("SYN_RCVD")
	server.in("SYN_RCVD")
	client.at(Blocked, "connect 10.0.0.2:8888 from 7777") // not yet connected

	go forward(tunA, tunB)
	go forward(tunB, tunA)
	client.ok()
	server.ok()
}
