package wire

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// TestBuildBytes holds a packet against its bytes, written by hand.
func TestBuildBytes(t *testing.T) {
	b := Build{Src: netip.MustParseAddrPort("10.0.0.1:1"), Dst: netip.MustParseAddrPort("10.0.0.2:2"),
		Seq: 3, Ack: 4, Flags: SYN | ACK, Window: 5, ID: 6, Options: AppendWScale(nil, 7), Payload: []byte{8}}
	want := []byte{
		0x45, 0, 0, 45, // version, IHL; TOS; total length
		0, 6, 0x40, 0, // ID; DF
		64, 6, 0x26, 0xc3, // TTL; TCP; checksum
		10, 0, 0, 1,
		10, 0, 0, 2,
		0, 1, 0, 2, // ports
		0, 0, 0, 3, // seq
		0, 0, 0, 4, // ack
		0x60, 0x12, 0, 5, // data offset; SYN, ACK; window
		0x79, 0xb9, 0, 0, // checksum; urgent
		3, 3, 7, 0, // window scale; end
		8,
	}
	if got := b.Append(nil); !bytes.Equal(got, want) {
		t.Errorf("\n got %x\nwant %x", got, want)
	}
}

func TestBuildDefaults(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		p := parse(t, build(v6, Build{}), 0, false)
		if p.TTL() != 64 {
			t.Errorf("v6 %v: TTL %d, want 64", v6, p.TTL())
		}
	}
	if df := build(false, Build{})[6]; df != 0x40 {
		t.Errorf("flags %#x, want DF", df)
	}
	if df := build(false, Build{NoDF: true})[6]; df != 0 {
		t.Errorf("flags %#x, want no DF", df)
	}
	mapped := Build{Src: netip.MustParseAddrPort("[::ffff:10.0.0.1]:1"), Dst: server4}
	if p := parse(t, mapped.Append(nil), 0, false); p.V6() || p.Src() != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("a mapped address became %v", p.Src())
	}
}

// TestBuildAppends keeps what is in dst, writes over all that was behind it, and
// allocates nothing where there is room.
func TestBuildAppends(t *testing.T) {
	tcp := Build{Src: client4, Dst: server4, Flags: ACK, NoDF: true, Options: AppendWScale(nil, 7), Payload: bytesOf(100)}
	icmp := ICMPBuild{From: server6.Addr(), To: client6.Addr(), Type: ICMPv6TimeExceeded, Quote: bytesOf(100)}
	for name, appendTo := range map[string]func([]byte) []byte{"Build": tcp.Append, "ICMPBuild": icmp.Append} {
		dirty := bytes.Repeat([]byte{0xee}, 2000)
		got := appendTo(dirty[:10])
		if want := append(bytes.Repeat([]byte{0xee}, 10), appendTo(nil)...); !bytes.Equal(got, want) || &got[0] != &dirty[0] {
			t.Errorf("%s:\n got %x\nwant %x", name, got, want)
		}
		if n := testing.AllocsPerRun(100, func() { appendTo(dirty[:10]) }); n != 0 {
			t.Errorf("%s: %v allocations with room in dst", name, n)
		}
	}
}

func TestBuildPanics(t *testing.T) {
	tests := []struct {
		name string
		b    Build
	}{
		{"no addresses", Build{}},
		{"no destination", Build{Src: client4}},
		{"two families", Build{Src: client4, Dst: server6}},
		{"options", Build{Src: client4, Dst: server4, Options: make([]byte, 41)}},
		{"length", Build{Src: client4, Dst: server4, Payload: make([]byte, 65496)}},
	}
	for _, tt := range tests {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", tt.name)
				}
			}()
			tt.b.Append(nil)
		}()
	}
	longest := Build{Src: client4, Dst: server4, Payload: make([]byte, 65495)}
	if n := len(longest.Append(nil)); n != 65535 {
		t.Errorf("the longest packet has %d bytes", n)
	}
}

func TestAppendOptions(t *testing.T) {
	tests := []struct {
		name      string
		got, want []byte
	}{
		{"NOP", AppendNOP(nil, 3), []byte{1, 1, 1}},
		{"MSS", AppendMSS(nil, 0x05b4), []byte{2, 4, 5, 0xb4}},
		{"window scale", AppendWScale(nil, 9), []byte{3, 3, 9}},
		{"SACK permitted", AppendSACKPermitted(nil), []byte{4, 2}},
		{"timestamps", AppendTimestamps(nil, 1, 0x02030405), []byte{8, 10, 0, 0, 0, 1, 2, 3, 4, 5}},
		{"SACK", AppendSACK(nil, seq.Range{From: 1, To: 2}, seq.Range{From: 3, To: 4}),
			[]byte{5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4}},
	}
	for _, tt := range tests {
		if !bytes.Equal(tt.got, tt.want) {
			t.Errorf("%s: %x, want %x", tt.name, tt.got, tt.want)
		}
	}
}

func FuzzBuild(f *testing.F) {
	f.Add(uint32(1), uint32(2), uint16(0x12), uint16(3), uint16(0), uint16(9), uint8(0), uint8(0), AppendMSS(nil, 1460), []byte("hello"), false, false)
	f.Add(uint32(0xffffffff), uint32(0), uint16(0x1ff), uint16(0xffff), uint16(1), uint16(0xffff), uint8(255), uint8(255), timestamps(1, 2), []byte{}, true, true)
	f.Fuzz(func(t *testing.T, n, ack uint32, flags, window, urgent, id uint16, ttl, tos uint8, options, payload []byte, v6, partial bool) {
		if len(options) > maxOptions || len(payload) > 60000 {
			t.Skip("does not fit a packet")
		}
		b := Build{Seq: n, Ack: ack, Flags: Flags(flags), Window: window, Urgent: urgent, ID: id, TTL: ttl, TOS: tos,
			Options: options, Payload: payload, Partial: partial}
		packet := build(v6, b)
		if partial {
			FinishChecksum(packet)
		}
		if err := VerifyChecksums(packet); err != nil {
			t.Fatal(err)
		}
		var p Packet
		if why := p.Parse(packet, 0, false); why != OK {
			if why != Malformed || Options(options).valid() {
				t.Fatal(why)
			}
			return
		}
		if ttl == 0 {
			b.TTL = 64
		}
		if p.Seq() != seq.Num(n) || p.Ack() != seq.Num(ack) || p.Flags() != b.Flags&allFlags || p.Window() != window ||
			p.Urgent() != urgent || p.TTL() != b.TTL || p.TOS() != tos || !v6 && p.ID() != id ||
			!bytes.Equal(p.Payload(), payload) || !bytes.HasPrefix(p.RawOptions(), options) || len(p.RawOptions())-len(options) > 3 {
			t.Errorf("%+v came back as %x", b, packet)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	rst := Build{Src: client4, Dst: server4, Seq: 1, Flags: RST}
	buf := make([]byte, 0, 100)
	for b.Loop() {
		rst.Append(buf)
	}
}
