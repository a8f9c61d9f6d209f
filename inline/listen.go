package inline

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"syscall"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// listen leads connections to an address of this host to a service. Nobody listens
// there: the kernel sends them to the virtual address. From the loopback they come with
// the address of our device, for the answers to come back by it.
//
//	client ── 127.0.0.1:26379 ──► nftables ──► 198.18.0.2:6379 ── manglev ──► box
func (p *Proxy) listen(s *Service) error {
	holder, at, err := hold(p.ns, s.Listen)
	if err != nil {
		return fmt.Errorf("listen at %v: %w", s.Listen, err)
	}
	s.Listen = at
	p.holders[s.Address] = holder
	if at.Addr().Is4() {
		if err := p.once(netns.PacketRule{Hook: netns.Leaving, Src: loopback, Out: virtualName, Do: netns.Masquerade}); err != nil {
			return err
		}
	}
	if !at.Addr().IsLoopback() {
		if err := p.setup.forwarding(at.Addr().Is6()); err != nil {
			return err
		}
	}
	return p.setup.translate(s.Address.String(), redirects(at, s.Address)...)
}

// redirects lead what is for an address of this host to another one, whether it comes
// from elsewhere or from this host.
func redirects(from, to netip.AddrPort) []netns.PacketRule {
	r := netns.PacketRule{Proto: syscall.IPPROTO_TCP, Dport: from.Port(), Do: netns.Redirect, To: to}
	if from.Addr().IsUnspecified() {
		r.Local = true
	} else {
		r.Dst = single(from.Addr())
	}
	here := r
	r.Hook, here.Hook = netns.Arriving, netns.Sending
	return []netns.PacketRule{r, here}
}

// loopback is the network of the loopback device.
var loopback = netip.PrefixFrom(loopback4, 8).Masked()

// hold keeps a port from being given to anybody else, without listening: when the box is
// gone, connecting there is refused. Port 0 is one of the kernel's choice.
func hold(ns *netns.NS, at netip.AddrPort) (holder io.Closer, got netip.AddrPort, err error) {
	var fd int
	err = ns.Do(func() error {
		fd, err = bound(at)
		return err
	})
	if err != nil {
		return nil, got, err
	}
	file := os.NewFile(uintptr(fd), at.String())
	own, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, got, errors.Join(err, file.Close())
	}
	switch own := own.(type) {
	case *syscall.SockaddrInet4:
		got = netip.AddrPortFrom(at.Addr(), uint16(own.Port))
	case *syscall.SockaddrInet6:
		got = netip.AddrPortFrom(at.Addr(), uint16(own.Port))
	}
	return file, got, nil
}

// bound is a TCP socket that has an address.
func bound(at netip.AddrPort) (fd int, err error) {
	family, sa := syscall.AF_INET, syscall.Sockaddr(&syscall.SockaddrInet4{Port: int(at.Port()), Addr: as4(at.Addr())})
	if at.Addr().Is6() {
		family, sa = syscall.AF_INET6, &syscall.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	}
	if fd, err = syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) // TIME_WAIT is no hindrance
	if err == nil {
		err = syscall.Bind(fd, sa)
	}
	if err != nil {
		return 0, errors.Join(err, syscall.Close(fd))
	}
	return fd, nil
}

// as4 is an IPv4 address in bytes; of another, zero.
func as4(a netip.Addr) [4]byte {
	if a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}
