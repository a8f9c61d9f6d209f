package inline

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// listen leads connections to an address of this host to a service. They never get to who listens
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
	p.book.note(*s)
	if err := p.circular(*s); err != nil {
		return err
	}
	loopback := loopbackNets[version(at.Addr())]
	err = p.once("loopback "+loopback.String(), func() error {
		return p.setup.translate("loopback", netns.PacketRule{Hook: netns.Leaving, Src: loopback, Out: virtualName, Do: netns.Masquerade})
	})
	if err != nil {
		return err
	}
	if !at.Addr().IsLoopback() {
		if err := p.forward(at.Addr().Is6(), virtualName); err != nil {
			return err
		}
	}
	if err := p.setup.translate(s.Address.String(), redirects(at, s.Address)...); err != nil {
		return err
	}
	return holder.listen()
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

// A holder keeps a port from being given to anybody else. When the process is gone,
// connecting there is refused.
type holder struct{ *os.File }

// hold takes an address; port 0 is one of the kernel's choice.
func hold(ns *netns.NS, at netip.AddrPort) (h *holder, got netip.AddrPort, err error) {
	var fd int
	err = ns.Do(func() error {
		fd, err = bound(at)
		return err
	})
	if err != nil {
		return nil, got, err
	}
	h = &holder{os.NewFile(uintptr(fd), at.String())}
	own, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, got, errors.Join(err, h.Close())
	}
	switch own := own.(type) {
	case *syscall.SockaddrInet4:
		got = netip.AddrPortFrom(at.Addr(), uint16(own.Port))
	case *syscall.SockaddrInet6:
		got = netip.AddrPortFrom(at.Addr(), uint16(own.Port))
	}
	return h, got, nil
}

// listen makes nobody else able to listen there: what is only bound another socket with
// SO_REUSEADDR may bind, too. By now no connection comes here.
func (h *holder) listen() error {
	conn, err := h.SyscallConn()
	if err != nil {
		return err
	}
	cerr := conn.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) })
	return errors.Join(cerr, err)
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
	if err == nil && family == syscall.AF_INET6 {
		err = syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 1)
	}
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
