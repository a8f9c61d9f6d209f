package wire

import (
	"bytes"
	"net/netip"
	"testing"
)

// TestSetAddrs: a packet that is given other ends is the one that would have been built
// with them.
func TestSetAddrs(t *testing.T) {
	ends := map[bool][2]netip.AddrPort{
		false: {netip.MustParseAddrPort("255.255.0.1:1"), netip.MustParseAddrPort("198.18.0.2:65535")},
		true:  {netip.MustParseAddrPort("[fd79::ffff:1]:1"), netip.MustParseAddrPort("[fd79:ffff::]:65535")},
	}
	for v6, to := range ends {
		for _, partial := range []bool{false, true} {
			for n := range 50 {
				b := Build{Seq: 1, Ack: 2, Window: 1000, Flags: ACK | PSH, Payload: bytesOf(n), Partial: partial}
				p := parse(t, build(v6, b), 0, partial)
				p.SetSrc(to[0])
				p.SetDst(to[1])
				b.Src, b.Dst = to[0], to[1]
				if want := b.Append(nil); !bytes.Equal(p.Data(), want) {
					t.Fatalf("v6 %v, partial %v, %d bytes:\n got %x\nwant %x", v6, partial, n, p.Data(), want)
				}
			}
		}
	}
}

func TestSetAddrsOfTheOtherFamily(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an IPv6 address went into an IPv4 packet")
		}
	}()
	parse(t, build(false, Build{Flags: ACK}), 0, false).SetSrc(netip.MustParseAddrPort("[fd79::1]:1"))
}

// TestHeaders: an edit through the headers alone is the edit of the packet.
func TestHeaders(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, partial := range []bool{false, true} {
			whole := build(v6, Build{Flags: ACK, Payload: bytesOf(100), Options: timestamps(1, 2), Partial: partial})
			p := parse(t, bytes.Clone(whole), 0, partial)
			n := p.HeaderLen()
			h, ok := Headers(whole[:n], partial)
			if !ok {
				t.Fatalf("v6 %v: the headers are not taken", v6)
			}
			for _, x := range []*Packet{p, &h} {
				x.SetSrc(netip.AddrPortFrom(p.Dst(), 7))
				x.SetSeq(0xfffffff0)
			}
			if !bytes.Equal(whole, p.Data()) {
				t.Errorf("v6 %v, partial %v:\n got %x\nwant %x", v6, partial, whole, p.Data())
			}
			for cut := range n {
				if _, ok := Headers(whole[:cut], partial); ok {
					t.Errorf("v6 %v: %d of %d bytes are taken for headers", v6, cut, n)
				}
			}
		}
	}
}

func TestReaddressICMP(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		quote := build(v6, Build{Flags: SYN, Seq: 99})
		p := parse(t, quote, 0, false)
		typ, to := ICMPv4Unreachable, netip.MustParseAddr("198.18.0.9")
		if v6 {
			typ, to = ICMPv6Unreachable, netip.MustParseAddr("fd79::9")
		}
		packet := (&ICMPBuild{From: p.Dst(), To: p.Src(), Type: typ, Code: 1, Quote: quote}).Append(nil)
		src, dst := netip.AddrPortFrom(to, 1000), netip.AddrPortFrom(p.Dst(), 2000)
		if !ReaddressICMP(packet, p.Src(), to, src, dst) {
			t.Fatalf("v6 %v: it is not taken for an ICMP error", v6)
		}
		if err := VerifyChecksums(packet); err != nil {
			t.Error(err)
		}
		e, ok := ParseICMPError(packet)
		if !ok || e.From != p.Src() || e.To != to || e.Src != src || e.Dst != dst || e.Seq != 99 {
			t.Errorf("v6 %v: %+v, %v", v6, e, ok)
		}
		if ReaddressICMP(quote, p.Src(), to, src, dst) {
			t.Error("a TCP segment was taken for an ICMP error")
		}
	}
}
