package wire

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestICMPError(t *testing.T) {
	v4 := build(false, Build{Seq: 0x01020304, Flags: ACK, Payload: bytesOf(1400)})
	v6 := build(true, Build{Seq: 0x01020304, Flags: ACK, Payload: bytesOf(1400)})
	router4, router6 := netip.MustParseAddr("10.77.9.9"), netip.MustParseAddr("fd77:9::9")
	tests := []struct {
		name string
		b    ICMPBuild
		want bool
		mtu  uint32
	}{
		{"port unreachable", ICMPBuild{From: router4, Type: 3, Code: 3, Quote: v4}, true, 0},
		{"fragmentation needed", ICMPBuild{From: router4, Type: 3, Code: 4, MTU: 1400, Quote: v4}, true, 1400},
		{"source quench", ICMPBuild{From: router4, Type: 4, Quote: v4}, true, 0},
		{"time exceeded", ICMPBuild{From: router4, Type: 11, MTU: 9, Quote: v4}, true, 0},
		{"parameter problem", ICMPBuild{From: router4, Type: 12, Quote: v4}, true, 0},
		{"eight bytes of TCP", ICMPBuild{From: router4, Type: 3, Quote: v4[:28]}, true, 0},
		{"quoted IPv4 options", ICMPBuild{From: router4, Type: 3, Quote: withIPv4Options(v4)[:36]}, true, 0},
		{"unreachable, IPv6", ICMPBuild{From: router6, Type: 1, Code: 4, Quote: v6}, true, 0},
		{"packet too big", ICMPBuild{From: router6, Type: 2, MTU: 1 << 17, Quote: v6}, true, 1 << 17},
		{"time exceeded, IPv6", ICMPBuild{From: router6, Type: 3, MTU: 9, Quote: v6}, true, 0},
		{"parameter problem, IPv6", ICMPBuild{From: router6, Type: 4, Quote: v6[:48]}, true, 0},

		{"echo", ICMPBuild{From: router4, Type: 8, Quote: v4}, false, 0},
		{"redirect", ICMPBuild{From: router4, Type: 5, Quote: v4}, false, 0},
		{"ICMPv6 echo", ICMPBuild{From: router6, Type: 128, Quote: v6}, false, 0},
		{"quote of UDP", ICMPBuild{From: router4, Type: 3, Quote: with(v4, 9, 17)}, false, 0},
		{"quote of a later fragment", ICMPBuild{From: router4, Type: 3, Quote: with(v4, 6, 0, 7)}, false, 0},
		{"quote of a short IHL", ICMPBuild{From: router4, Type: 3, Quote: with(v4, 0, 0x44)}, false, 0},
		{"quote of IPv6 in IPv4", ICMPBuild{From: router4, Type: 3, Quote: v6}, false, 0},
		{"seven bytes of TCP", ICMPBuild{From: router4, Type: 3, Quote: v4[:27]}, false, 0},
		{"seven bytes of TCP, IPv6", ICMPBuild{From: router6, Type: 1, Quote: v6[:47]}, false, 0},
		{"no quote", ICMPBuild{From: router6, Type: 1}, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, dst := client4, server4
			if tt.b.From.Is6() {
				src, dst = client6, server6
			}
			tt.b.To = src.Addr()
			packet := tt.b.Append(nil)
			if err := VerifyChecksums(packet); err != nil {
				t.Error(err)
			}
			wantWhy := NotTCP
			if tt.want {
				wantWhy = ICMPError
			}
			if got := new(Packet).Parse(packet, 0, false); got != wantWhy {
				t.Errorf("Parse = %v, want %v", got, wantWhy)
			}
			e, ok := ParseICMPError(append(packet, "behind"...))
			if ok != tt.want {
				t.Fatalf("ParseICMPError = %+v, %v, want %v", e, ok, tt.want)
			}
			want := ICMP{From: tt.b.From, To: tt.b.To, Type: tt.b.Type, Code: tt.b.Code, MTU: tt.mtu, Src: src, Dst: dst, Seq: 0x01020304}
			if ok && e != want {
				t.Errorf("ParseICMPError = %+v, want %+v", e, want)
			}
		})
	}
}

func TestICMPBuildSize(t *testing.T) {
	b := ICMPBuild{From: server4.Addr(), To: client4.Addr(), Type: 3, Quote: bytesOf(2000)}
	if packet := b.Append([]byte("before"))[6:]; len(packet) != 576 || !bytes.Equal(packet[28:], b.Quote[:548]) {
		t.Errorf("IPv4: %d bytes, want 576", len(packet))
	}
	b.From, b.To = server6.Addr(), client6.Addr()
	if packet := b.Append(nil); len(packet) != 1280 || !bytes.Equal(packet[48:], b.Quote[:1232]) {
		t.Errorf("IPv6: %d bytes, want 1280", len(packet))
	}
}

func TestSetQuotedSeq(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		b := ICMPBuild{From: server4.Addr(), To: client4.Addr(), Type: 3, Quote: withIPv4Options(build(v6, Build{Seq: 7, Flags: ACK}))}
		if v6 {
			b.From, b.To, b.Quote = server6.Addr(), client6.Addr(), build(v6, Build{Seq: 7, Flags: ACK})
		}
		packet := b.Append(nil)
		SetQuotedSeq(packet, 0xfffe0003)
		if err := VerifyChecksums(packet); err != nil {
			t.Error(err)
		}
		if e, ok := ParseICMPError(packet); !ok || e.Seq != 0xfffe0003 {
			t.Errorf("it quotes %v, %v", e.Seq, ok)
		}
	}
}

func FuzzICMPError(f *testing.F) {
	for _, packet := range seeds() {
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, ok := ParseICMPError(data)
		if ok && (!e.Src.IsValid() || !e.Dst.IsValid() || e.Src.Addr().BitLen() != e.From.BitLen()) {
			t.Errorf("%x: %+v", data, e)
		}
		if why := new(Packet).Parse(data, 0, false); ok != (why == ICMPError) {
			t.Errorf("%x: Parse says %v, ParseICMPError %v", data, why, ok)
		}
	})
}
