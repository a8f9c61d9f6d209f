package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

func TestAt(t *testing.T) {
	data := build(false, Build{Seq: 0xfffffff0, Ack: 9, Window: 5, Flags: ACK | FIN | PSH | CWR | ECE | URG | AE, Payload: bytesOf(25)})
	p := parse(t, data, 10, true)
	want := []Segment{
		{Seq: 0xfffffff0, Ack: 9, Window: 5, Flags: ACK | CWR | ECE | URG | AE, Off: 0, Len: 10},
		{Seq: 0xfffffffa, Ack: 9, Window: 5, Flags: ACK | ECE | URG | AE, Off: 10, Len: 10},
		{Seq: 4, Ack: 9, Window: 5, Flags: ACK | ECE | URG | AE | FIN | PSH, Off: 20, Len: 5},
	}
	if p.Segments() != len(want) || p.GSO() != 10 {
		t.Fatalf("%d segments of %d, want %d of 10", p.Segments(), p.GSO(), len(want))
	}
	for i, w := range want {
		if got := p.At(i); got != w {
			t.Errorf("At(%d) = %+v, want %+v", i, got, w)
		}
	}
}

func TestSegments(t *testing.T) {
	tests := []struct {
		payload, gso, segments, last int
	}{
		{0, 0, 1, 0}, {0, 10, 1, 0}, {9, 0, 1, 9}, {9, -1, 1, 9}, {9, 10, 1, 9}, {10, 10, 1, 10},
		{11, 10, 2, 1}, {20, 10, 2, 10}, {21, 10, 3, 1}, {5, 1, 5, 1}, {64000, 1448, 45, 288},
	}
	for _, tt := range tests {
		p := parse(t, build(true, Build{Flags: ACK, Payload: bytesOf(tt.payload)}), tt.gso, false)
		if got := p.Segments(); got != tt.segments {
			t.Fatalf("%d bytes, gso %d: %d segments, want %d", tt.payload, tt.gso, got, tt.segments)
		}
		if got := p.At(tt.segments - 1).Len; got != tt.last {
			t.Errorf("%d bytes, gso %d: last has %d bytes, want %d", tt.payload, tt.gso, got, tt.last)
		}
		if (p.GSO() != 0) != (tt.segments > 1) {
			t.Errorf("%d bytes, gso %d: GSO = %d with %d segments", tt.payload, tt.gso, p.GSO(), tt.segments)
		}
	}
}

func TestSegLen(t *testing.T) {
	tests := []struct {
		segment Segment
		size    uint32
	}{
		{Segment{Flags: ACK}, 0},
		{Segment{Flags: SYN}, 1},
		{Segment{Flags: FIN | ACK}, 1},
		{Segment{Flags: SYN | FIN}, 2},
		{Segment{Flags: FIN | PSH, Len: 10}, 11},
		{Segment{Flags: RST, Len: 3}, 3},
	}
	for _, tt := range tests {
		tt.segment.Seq = 0xffffffff
		if got := tt.segment.SegLen(); got != tt.size {
			t.Errorf("%+v: SegLen = %d, want %d", tt.segment, got, tt.size)
		}
		if got, want := tt.segment.End(), tt.segment.Seq.Add(tt.size); got != want {
			t.Errorf("%+v: End = %d, want %d", tt.segment, got, want)
		}
	}
}

// segmentation cuts a super-packet as Linux would, each segment a copy.
func segmentation(packet []byte, gso int) (segments [][]byte) {
	tcp := 40
	if packet[0]>>4 == 4 {
		tcp = int(packet[0]&15) * 4
	}
	header := packet[:tcp+int(packet[tcp+12]>>4)*4]
	payload := packet[len(header):]
	first := binary.BigEndian.Uint32(packet[tcp+4:])
	for off := 0; off == 0 || off < len(payload); off += gso {
		end := min(off+gso, len(payload))
		s := append(append([]byte(nil), header...), payload[off:end]...)
		if s[0]>>4 == 6 {
			binary.BigEndian.PutUint16(s[4:], uint16(len(s)-40))
		} else {
			binary.BigEndian.PutUint16(s[2:], uint16(len(s)))
			binary.BigEndian.PutUint16(s[4:], binary.BigEndian.Uint16(s[4:])+uint16(len(segments)))
			s[10], s[11] = 0, 0
			binary.BigEndian.PutUint16(s[10:], ^slowSum(s[:tcp]))
		}
		binary.BigEndian.PutUint32(s[tcp+4:], first+uint32(off))
		if off > 0 {
			s[tcp+13] &^= 0x80 // CWR
		}
		if end < len(payload) {
			s[tcp+13] &^= 0x09 // FIN, PSH
		}
		binary.BigEndian.PutUint16(s[tcp+16:], slowChecksum(s, tcp))
		segments = append(segments, s)
	}
	return segments
}

// checkSlice wants the slice [from, to) of p to carry the segments want, and the
// checksum to be partial as p's or complete.
func checkSlice(t *testing.T, p *Packet, from, to int, want [][]byte) {
	t.Helper()
	var head [MaxHeader]byte
	n, body, gso := p.Slice(head[:], from, to)
	if n != p.HeaderLen() || len(body) > 0 && &body[0] != &p.Payload()[p.At(from).Off] {
		t.Fatalf("Slice(%d, %d): %d header bytes of %d, or the payload is a copy", from, to, n, p.HeaderLen())
	}
	if (gso != 0) != (to-from > 1) || cap(body) != len(body) {
		t.Fatalf("Slice(%d, %d): gso %d, room for %d behind the payload", from, to, gso, cap(body)-len(body))
	}
	packet := append(head[:n:n], body...)
	part := parse(t, packet, gso, p.Partial())
	if part.Segments() != to-from {
		t.Fatalf("Slice(%d, %d): %d segments", from, to, part.Segments())
	}
	for i := range part.Segments() {
		if got := part.Materialize(i, nil); !bytes.Equal(got, want[from+i]) {
			t.Fatalf("Slice(%d, %d), segment %d:\n got %x\nwant %x", from, to, i, got, want[from+i])
		}
	}
	if p.Partial() {
		FinishChecksum(packet)
	}
	if err := VerifyChecksums(packet); err != nil {
		t.Fatalf("Slice(%d, %d): %v", from, to, err)
	}
}

// checkSegments holds each segment and each slice of a packet against segmentation.
func checkSegments(t *testing.T, packet []byte, gso int, partial bool) {
	t.Helper()
	p := parse(t, packet, gso, partial)
	if gso <= 0 {
		gso = len(packet)
	}
	want := segmentation(packet, gso)
	if p.Segments() != len(want) {
		t.Fatalf("%d segments, want %d", p.Segments(), len(want))
	}
	for i := range want {
		if got := p.Materialize(i, []byte("before"))[len("before"):]; !bytes.Equal(got, want[i]) {
			t.Fatalf("segment %d:\n got %x\nwant %x", i, got, want[i])
		}
		s, one := p.At(i), parse(t, want[i], 0, false)
		if w := one.At(0); s.Seq != w.Seq || s.Ack != w.Ack || s.Flags != w.Flags || s.Window != w.Window || s.Len != w.Len ||
			!bytes.Equal(p.Payload()[s.Off:s.Off+s.Len], one.Payload()) {
			t.Fatalf("At(%d) = %+v, want %+v", i, s, w)
		}
	}
	for from := range want {
		for to := from + 1; to <= len(want); to++ {
			checkSlice(t, p, from, to, want)
		}
	}
}

func TestSlice(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, partial := range []bool{false, true} {
			for payload := range 24 {
				b := Build{Seq: 0xfffffffe, Ack: 77, ID: 0xfffe, Flags: ACK | FIN | PSH | CWR,
					Options: timestamps(1, 2), Payload: bytesOf(payload), Partial: partial}
				for gso := range 8 {
					t.Run(fmt.Sprintf("v6 %v partial %v payload %d gso %d", v6, partial, payload, gso), func(t *testing.T) {
						checkSegments(t, build(v6, b), gso, partial)
						if !v6 {
							checkSegments(t, withIPv4Options(build(v6, b)), gso, partial)
						}
					})
				}
			}
		}
	}
}

// TestSliceWhole keeps what is wrong with a packet.
func TestSliceWhole(t *testing.T) {
	for _, partial := range []bool{false, true} {
		data := build(false, Build{Flags: ACK, Payload: bytesOf(100)})
		data[10]++ // header checksum
		data[36]++ // TCP checksum
		p := parse(t, append(data, "behind"...), 30, partial)
		var head [MaxHeader]byte
		n, body, gso := p.Slice(head[:], 0, p.Segments())
		if got := append(head[:n:n], body...); !bytes.Equal(got, data) || gso != 30 {
			t.Errorf("partial %v: Slice = %x, gso %d; want %x, gso 30", partial, got, gso, data)
		}
	}
}

func TestSlicePanics(t *testing.T) {
	p := parse(t, build(false, Build{Flags: ACK, Payload: bytesOf(30)}), 10, true)
	for _, r := range [][2]int{{-1, 1}, {0, 0}, {2, 1}, {0, 4}, {3, 3}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Slice(%d, %d) did not panic", r[0], r[1])
				}
			}()
			p.Slice(make([]byte, MaxHeader), r[0], r[1])
		}()
	}
}

// TestMaterializeKeeps copies an ordinary packet with its wrong checksum.
func TestMaterializeKeeps(t *testing.T) {
	data := build(true, Build{Flags: ACK, Payload: bytesOf(10)})
	data[40+16] ^= 0x55
	if got := parse(t, data, 0, false).Materialize(0, nil); !bytes.Equal(got, data) {
		t.Errorf("Materialize = %x, want %x", got, data)
	}
}

func FuzzSegments(f *testing.F) {
	f.Add(uint32(1), uint16(0), uint16(0x1ff), []byte("some payload of a super-packet"), 7, 0, true)
	f.Add(uint32(0xfffffff0), uint16(0xffff), uint16(0x19), bytesOf(300), 100, 3, false)
	f.Add(uint32(0), uint16(9), uint16(0x10), []byte{}, 0, 7, true)
	f.Fuzz(func(t *testing.T, first uint32, id, flags uint16, payload []byte, gso, shape int, partial bool) {
		if len(payload) > 2000 || gso > 0 && len(payload)/gso > 20 {
			t.Skip("as many slices as the square of segments")
		}
		b := Build{Seq: first, ID: id, Flags: Flags(flags) &^ (SYN | RST), Payload: payload, Partial: partial, TOS: uint8(shape)}
		if shape&2 != 0 {
			b.Options = oddTimestamps(first, 7)
		}
		packet := build(shape&1 != 0, b)
		if shape&5 == 4 {
			packet = withIPv4Options(packet)
		}
		checkSegments(t, packet, gso, partial)
	})
}

func TestAllocations(t *testing.T) {
	data := build(false, Build{Flags: ACK | PSH, Options: timestamps(1, 2), Payload: bytesOf(14480)})
	var (
		p    Packet
		head [MaxHeader]byte
		sum  uint32
		out  = make([]byte, 0, 2000)
	)
	allocs := testing.AllocsPerRun(100, func() {
		p.Parse(data, 1448, true)
		p.Addrs()
		_, _ = p.SrcAddrPort(), p.DstAddrPort()
		for i := range p.Segments() {
			sum += p.At(i).SegLen()
		}
		p.Slice(head[:], 0, 4)
		p.Slice(head[:], 4, p.Segments())
		p.SynOptions()
		for kind := range p.Options().All() {
			sum += uint32(kind)
		}
		p.SetTimestamps(3, 4)
		p.SetSeq(p.Seq().Add(1))
		out = p.Materialize(2, out[:0])
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a segment, want none", allocs)
	}
}

func BenchmarkAt(b *testing.B) {
	data := build(false, Build{Flags: ACK, Options: timestamps(1, 2), Payload: bytesOf(45 * 1448)})
	p := parse(b, data, 1448, true)
	n := uint32(0)
	for b.Loop() {
		for i := range p.Segments() {
			n += p.At(i).SegLen()
		}
	}
	b.ReportMetric(float64(b.N*p.Segments())/b.Elapsed().Seconds(), "segments/s")
}

func BenchmarkSlice(b *testing.B) {
	for _, partial := range []bool{true, false} {
		b.Run(fmt.Sprintf("partial=%v", partial), func(b *testing.B) {
			data := build(false, Build{Flags: ACK, Options: timestamps(1, 2), Payload: bytesOf(44 * 1448), Partial: partial})
			p := parse(b, data, 1448, partial)
			var head [MaxHeader]byte
			for b.Loop() {
				p.Slice(head[:], 20, 21)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}
