package inline

import (
	"net/netip"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// The networks of the loopback device. What is bound to 127.0.0.1 takes packets from our devices
// by their route_localnet, which IPv6 does not have: there Linux drops what a device brings for
// ::1 (ip6_rcv_core). It looks before nftables does, though, and never again:
//
//	box ── pool address → standIn ──► mangleu ──► ip6_rcv_core ──► nftables ── pool address → ::1 ──► service
//	box ◄──────────────── mangleu ◄─────────────────────────── ::1 → pool address ──────────────────── service
//
// Only the destination is written over, without tracking of connections, so that every
// segment comes through, however strange; and answers need nothing.
var (
	loopback4    = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopbackNets = [2]netip.Prefix{netip.PrefixFrom(loopback4, 8).Masked(), single(netip.IPv6Loopback())}
)

// loopback is the host's address for itself in an IP version.
func loopback(v6 bool) netip.Addr {
	if v6 {
		return netip.IPv6Loopback()
	}
	return loopback4
}

// standIn is in the place of ::1 between the box and nftables. Its ones' complement sum is 1,
// too, so that the checksum of a segment, partial or whole, right or wrong, stays what it is.
var standIn = netip.MustParseAddr("fd79:0:0:19:1::26d")

// entry is the address by which our device reaches one of this host.
func entry(a netip.AddrPort) netip.AddrPort {
	if a.Addr() == netip.IPv6Loopback() {
		return netip.AddrPortFrom(standIn, a.Port())
	}
	return a
}

// leadToLoopback6 has packets from the box come to what is bound to ::1.
func (p *Proxy) leadToLoopback6() error {
	t, err := p.setup.table()
	if err != nil {
		return err
	}
	return t.Add("::1", netns.PacketRule{
		Hook: netns.Entering, In: upstreamName, Dst: single(standIn),
		Do: netns.Readdress, To: netip.AddrPortFrom(netip.IPv6Loopback(), 0),
	})
}
