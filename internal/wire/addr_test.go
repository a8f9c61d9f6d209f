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
