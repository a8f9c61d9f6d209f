package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestSum(t *testing.T) {
	buffers := map[string][]byte{
		"counting": bytesOf(1600),
		"zeros":    make([]byte, 1600),
		"ones":     bytes.Repeat([]byte{0xff}, 1600),
		"carries":  bytes.Repeat([]byte{0xff, 0xff, 0, 1}, 400),
	}
	for name, b := range buffers {
		for start := range 9 { // alignments
			for n := range 260 {
				if got, want := sum(b[start:start+n], 0), slowSum(b[start:start+n]); got != want {
					t.Fatalf("%s: sum of %d bytes = %#x, want %#x", name, n, got, want)
				}
			}
		}
		if got, want := sum(b, 0x1234), slowSum([]byte{0x12, 0x34}, b); got != want {
			t.Errorf("%s: with a sum before = %#x, want %#x", name, got, want)
		}
		if got, want := sum(b[700:], sum(b[:700], 0)), slowSum(b); got != want {
			t.Errorf("%s: in two parts = %#x, want %#x", name, got, want)
		}
	}
}

func TestSumLong(t *testing.T) {
	for _, n := range []int{65535, 65534} {
		b := bytes.Repeat([]byte{0xff, 0xfe, 0xfd}, n/3+1)[:n]
		if got, want := sum(b, 0xffff), slowSum([]byte{0xff, 0xff}, b); got != want {
			t.Errorf("%d bytes: %#x, want %#x", n, got, want)
		}
	}
}

func TestUpdate(t *testing.T) {
	words := []uint16{0, 1, 0x7fff, 0x8000, 0x1234, 0xfffe, 0xffff}
	for _, rest := range words {
		for _, old := range words {
			for _, new := range words {
				sumOf := func(w uint16) uint16 { return fold(uint64(rest) + uint64(w) + 6) }
				if got, want := update(^sumOf(old), old, new), ^sumOf(new); got != want {
					t.Errorf("rest %#x, %#x to %#x: %#x, want %#x", rest, old, new, got, want)
				}
			}
		}
	}
}

// TestChecksums holds the checksum of every payload length against the slow sum.
func TestChecksums(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		tcp := 20
		if v6 {
			tcp = 40
		}
		for n := range 200 {
			packet := build(v6, Build{Seq: 0xffffffff, Flags: ACK, Payload: bytesOf(n)})
			want := slowChecksum(packet, tcp)
			if got := binary.BigEndian.Uint16(packet[tcp+16:]); got != want {
				t.Fatalf("v6 %v, %d bytes: built with %#x, want %#x", v6, n, got, want)
			}
			if err := VerifyChecksums(append(packet, "behind"...)); err != nil {
				t.Fatalf("v6 %v, %d bytes: %v", v6, n, err)
			}
			partial := build(v6, Build{Seq: 0xffffffff, Flags: ACK, Payload: bytesOf(n), Partial: true})
			if got, want := binary.BigEndian.Uint16(partial[tcp+16:]), slowSum(slowPseudo(packet, len(packet)-tcp)); got != want {
				t.Fatalf("v6 %v, %d bytes: partial sum %#x, want %#x", v6, n, got, want)
			}
			if FinishChecksum(partial); !bytes.Equal(partial, packet) {
				t.Fatalf("v6 %v, %d bytes: finished\n got %x\nwant %x", v6, n, partial, packet)
			}
		}
	}
}

func TestVerifyChecksums(t *testing.T) {
	v4, v6 := build(false, Build{Payload: []byte("odd")}), build(true, Build{Payload: []byte("odd")})
	icmp4 := (&ICMPBuild{From: server4.Addr(), To: client4.Addr(), Type: 3, Quote: v4}).Append(nil)
	icmp6 := (&ICMPBuild{From: server6.Addr(), To: client6.Addr(), Type: 1, Quote: v6}).Append(nil)
	tests := []struct {
		name   string
		packet []byte
		want   error
	}{
		{"IPv4", v4, nil},
		{"IPv6", v6, nil},
		{"ICMP", icmp4, nil},
		{"ICMPv6", icmp6, nil},
		{"UDP is not judged", build17(v4), nil},
		{"nothing", nil, errNotIP},
		{"cut", v4[:len(v4)-1], errNotIP},
		{"IPv4 header", with(v4, 8, 63), errHeaderChecksum},
		{"fragment's header", with(v4, 6, 0x20), errHeaderChecksum},
		{"TCP payload", with(v4, len(v4)-1, 'D'), errTCPChecksum},
		{"TCP header", with(v6, 44, 9), errTCPChecksum},
		{"IPv6 address", with(v6, 8, 9), errTCPChecksum},
		{"ICMP code", with(icmp4, 21, 9), errICMPChecksum},
		{"ICMPv6 address", with(icmp6, 8, 9), errICMPChecksum},
	}
	for _, tt := range tests {
		if got := VerifyChecksums(tt.packet); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// build17 makes an IPv4 packet one of UDP whose checksum nobody knows.
func build17(packet []byte) []byte {
	udp := with(packet, 9, 17)
	putHeaderChecksum(udp[:20])
	return udp
}

func TestFixChecksums(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		good := build(v6, Build{Flags: ACK, Options: timestamps(1, 2), Payload: []byte("hello")})
		bad := with(good, len(good)-8, 0xff, 0xee) // in the options: malformed perhaps, TCP all the same
		if !v6 {
			bad[8] = 1
		}
		if VerifyChecksums(bad) == nil {
			t.Fatalf("v6 %v: the packet is not broken", v6)
		}
		FixChecksums(bad)
		if err := VerifyChecksums(bad); err != nil {
			t.Errorf("v6 %v: %v", v6, err)
		}
	}
	for _, packet := range [][]byte{nil, {0x45}, build17(build(false, Build{}))} {
		before := append([]byte(nil), packet...)
		FixChecksums(packet)
		FinishChecksum(packet)
		if !bytes.Equal(packet, before) {
			t.Errorf("%x became %x", before, packet)
		}
	}
}

func BenchmarkChecksum(b *testing.B) {
	for _, bb := range []struct {
		name string
		n    int
	}{{"40", 40}, {"1448", 1448}, {"65000", 65000}} {
		b.Run(bb.name, func(b *testing.B) {
			data := bytesOf(bb.n)
			b.SetBytes(int64(bb.n))
			s := uint16(0)
			for b.Loop() {
				s = sum(data, s)
			}
		})
	}
}
