package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

func TestParse(t *testing.T) {
	v4 := build(false, Build{Flags: ACK, Options: timestamps(1, 2), Payload: []byte("hello")})
	v6 := build(true, Build{Flags: ACK, Options: timestamps(1, 2), Payload: []byte("hello")})
	syn := build(false, Build{Flags: SYN, Payload: bytesOf(2000)})
	tests := []struct {
		name string
		data []byte
		gso  int
		want Reason
	}{
		{"IPv4", v4, 0, OK},
		{"IPv6", v6, 0, OK},
		{"IPv4 options", withIPv4Options(v4), 0, OK},
		{"IPv4, bytes behind", append(v4[:len(v4):len(v4)], "padding"...), 0, OK},
		{"IPv6, bytes behind", append(v6[:len(v6):len(v6)], "padding"...), 0, OK},
		{"IPv4, reserved flag", with(v4, 6, 0xc0), 0, OK},
		{"super-packet", v4, 2, OK},
		{"TFO, gso larger than payload", syn, 2000, OK},
		{"bytes behind EOL", build(false, Build{Options: []byte{0, 8, 200, 1}}), 0, OK},

		{"nothing", nil, 0, NotIP},
		{"version 5", with(v4, 0, 0x55), 0, NotIP},
		{"version 0", make([]byte, 40), 0, NotIP},

		{"UDP over IPv4", with(v4, 9, 17), 0, NotTCP},
		{"UDP over IPv6", with(v6, 6, 17), 0, NotTCP},
		{"ICMP echo", with(with(v4, 9, 1), 20, 8), 0, NotTCP},
		{"IPv6 no next header", with(v6, 6, 59), 0, NotTCP},
		{"IPv6 ESP", with(v6, 6, 50), 0, NotTCP},

		{"more fragments", with(v4, 6, 0x20), 0, Fragment},
		{"fragment offset", with(v4, 6, 0, 1), 0, Fragment},
		{"IPv6 fragment header", with(v6, 6, 44), 0, Fragment},

		{"hop-by-hop", with(v6, 6, 0), 0, ExtensionHeader},
		{"routing", with(v6, 6, 43), 0, ExtensionHeader},
		{"authentication", with(v6, 6, 51), 0, ExtensionHeader},
		{"destination options", with(v6, 6, 60), 0, ExtensionHeader},

		// Lengths that contradict each other.
		{"IPv4 header cut", v4[:19], 0, Malformed},
		{"IPv6 header cut", v6[:39], 0, Malformed},
		{"IHL below 5", with(v4, 0, 0x44), 0, Malformed},
		{"IHL beyond total length", with(with(v4, 0, 0x4f), 2, 0, 59), 0, Malformed},
		{"total length beyond the bytes", v4[:len(v4)-1], 0, Malformed},
		{"total length 0", with(v4, 2, 0, 0), 0, Malformed},
		{"payload length beyond the bytes", v6[:len(v6)-1], 0, Malformed},
		{"payload length 0", with(v6, 4, 0, 0), 0, Malformed},
		{"TCP header cut", with(v4, 2, 0, 39), 0, Malformed},
		{"data offset below 5", with(v4, 32, 0x4f), 0, Malformed},
		{"data offset beyond the packet", with(build(false, Build{}), 32, 0x60), 0, Malformed},

		// Options.
		{"option length 0", build(false, Build{Options: []byte{8, 0, 1, 1}}), 0, Malformed},
		{"option length 1", build(false, Build{Options: []byte{8, 1, 1, 1}}), 0, Malformed},
		{"option length beyond the header", build(false, Build{Options: []byte{8, 5, 1, 1}}), 0, Malformed},
		{"kind without length", build(false, Build{Options: []byte{1, 1, 1, 8}}), 0, Malformed},

		{"super-packet with SYN", syn, 1000, Malformed},
		{"super-packet with RST", build(true, Build{Flags: RST, Payload: bytesOf(3)}), 1, Malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p Packet
			if got := p.Parse(tt.data, tt.gso, false); got != tt.want {
				t.Errorf("Parse = %v, want %v", got, tt.want)
			}
			if !bytes.Equal(p.Data(), tt.data) {
				t.Errorf("Data = %x, want %x", p.Data(), tt.data)
			}
		})
	}
}

func TestAccessors(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		b := Build{Seq: 0x01020304, Ack: 0xf5060708, Flags: ACK | URG | AE, Window: 0x1234, Urgent: 7,
			TTL: 33, TOS: 0xb9, ID: 0xabcd, Options: timestamps(1, 2), Payload: []byte("hello")}
		data := append(build(v6, b), "behind"...)
		p := parse(t, data, 0, true)

		want := map[string]any{
			"V6": v6, "Seq": seq.Num(b.Seq), "Ack": seq.Num(b.Ack), "Flags": b.Flags, "Window": b.Window,
			"Urgent": b.Urgent, "TTL": b.TTL, "TOS": b.TOS, "ECN": uint8(1), "ID": b.ID, "SrcPort": uint16(40000),
			"DstPort": uint16(8080), "PayloadLen": 5, "Payload": "hello", "RawOptions": string(b.Options),
			"Partial": true, "GSO": 0, "Segments": 1, "IPHeaderLen": 20, "HeaderLen": 52,
			"Src": client4, "Dst": server4,
		}
		if v6 {
			want["ID"], want["IPHeaderLen"], want["HeaderLen"] = uint16(0), 40, 72
			want["Src"], want["Dst"] = client6, server6
		}
		got := map[string]any{
			"V6": p.V6(), "Seq": p.Seq(), "Ack": p.Ack(), "Flags": p.Flags(), "Window": p.Window(),
			"Urgent": p.Urgent(), "TTL": p.TTL(), "TOS": p.TOS(), "ECN": p.ECN(), "ID": p.ID(), "SrcPort": p.SrcPort(),
			"DstPort": p.DstPort(), "PayloadLen": p.PayloadLen(), "Payload": string(p.Payload()), "RawOptions": string(p.RawOptions()),
			"Partial": p.Partial(), "GSO": p.GSO(), "Segments": p.Segments(), "IPHeaderLen": p.IPHeaderLen(), "HeaderLen": p.HeaderLen(),
			"Src": p.SrcAddrPort(), "Dst": p.DstAddrPort(),
		}
		for name, w := range want {
			if got[name] != w {
				t.Errorf("v6 %v: %s = %v, want %v", v6, name, got[name], w)
			}
		}
		if src, dst := p.Addrs(); src != addrOf(p.Src()) || dst != addrOf(p.Dst()) {
			t.Errorf("v6 %v: Addrs = %x %x, want %v %v", v6, src, dst, p.Src(), p.Dst())
		}
	}
}

// addrOf is what a packet with the address is to say.
func addrOf(a netip.Addr) Addr {
	raw := a.As16()
	return Addr{binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])}
}

// TestParseForgets makes sure that a view used again shows nothing of before.
func TestParseForgets(t *testing.T) {
	super := build(true, Build{Flags: ACK, Payload: bytesOf(100)})
	p := parse(t, super, 10, true)
	small := build(false, Build{Flags: ACK})
	if why := p.Parse(small, 0, false); why != OK {
		t.Fatal(why)
	}
	fresh := parse(t, small, 0, false)
	if p.V6() || p.Partial() || p.Segments() != 1 || p.GSO() != 0 || p.At(0) != fresh.At(0) {
		t.Errorf("after Parse of a second packet: %+v, want %+v", p, fresh)
	}
}

func TestReasonString(t *testing.T) {
	seen := map[string]bool{}
	for r := range Reason(NumReasons) {
		if s := r.String(); s == "" || seen[s] {
			t.Errorf("reason %d is called %q, as none or another", r, s)
		}
		seen[r.String()] = true
	}
	if got, want := Reason(NumReasons).String(), "Reason(7)"; got != want {
		t.Errorf("unknown reason = %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, packet := range seeds() {
		f.Add(packet, 0, false)
		f.Add(packet, 100, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, gso int, partial bool) {
		var p Packet
		before := append([]byte(nil), data...)
		if p.Parse(data, gso, partial) != OK {
			return
		}
		var head [MaxHeader]byte
		n, body, size := p.Slice(head[:], 0, p.Segments())
		whole := append(head[:n:n], body...)
		if !bytes.HasPrefix(data, whole) || size != p.GSO() {
			t.Errorf("Slice of the whole = %x, gso %d; want %x, gso %d", whole, size, data, p.GSO())
		}
		if p.Segments() <= 2000 {
			checkCoverage(t, &p)
		}
		if !bytes.Equal(data, before) {
			t.Error("reading changed the packet")
		}
		checkEdits(t, &p)
	})
}

// checkCoverage wants the segments of p to make up its payload, in order.
func checkCoverage(t *testing.T, p *Packet) {
	t.Helper()
	next, flags := 0, Flags(0)
	for i := range p.Segments() {
		s := p.At(i)
		flags |= s.Flags
		if s.Off != next || s.Seq != p.Seq().Add(uint32(next)) || s.Len < 0 || p.GSO() > 0 && (s.Len < 1 || s.Len > p.GSO()) {
			t.Fatalf("segment %d of %d = %+v, want it at %d", i, p.Segments(), s, next)
		}
		next += s.Len
	}
	if next != p.PayloadLen() || flags != p.Flags() {
		t.Errorf("segments have %d bytes and flags %v, want %d and %v", next, flags, p.PayloadLen(), p.Flags())
	}
}

func BenchmarkParse(b *testing.B) {
	for _, bb := range []struct {
		name string
		v6   bool
		opts []byte
	}{{"v4", false, timestamps(1, 2)}, {"v6", true, timestamps(1, 2)}, {"syn", false, AppendWScale(AppendNOP(AppendMSS(nil, 1460), 1), 7)}} {
		b.Run(bb.name, func(b *testing.B) {
			data := build(bb.v6, Build{Flags: ACK, Options: bb.opts, Payload: bytesOf(1400)})
			var p Packet
			for b.Loop() {
				p.Parse(data, 0, false)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}
