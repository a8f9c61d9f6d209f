package wire

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// shift is what a box does to SACK blocks that inserted bytes into the stream.
func shift(r seq.Range) seq.Range {
	return seq.Range{From: r.From.Add(0x10001), To: r.To.Add(0x10001)}
}

// beyond empties the blocks below a number.
func beyond(least seq.Num) func(seq.Range) seq.Range {
	return func(r seq.Range) seq.Range {
		if r.From.Less(least) {
			return seq.Range{From: least, To: least}
		}
		return r
	}
}

// edits change a packet, and the Build it came from alike.
var edits = []struct {
	name   string
	packet func(*Packet)
	build  func(*Build)
}{
	{"seq", func(p *Packet) { p.SetSeq(0xfffffffe) }, func(b *Build) { b.Seq = 0xfffffffe }},
	{"ack", func(p *Packet) { p.SetAck(0) }, func(b *Build) { b.Ack = 0 }},
	{"flags", func(p *Packet) { p.SetFlags(FIN | URG | CWR | AE) }, func(b *Build) { b.Flags = FIN | URG | CWR | AE }},
	{"no flags", func(p *Packet) { p.SetFlags(0) }, func(b *Build) { b.Flags = 0 }},
	{"window", func(p *Packet) { p.SetWindow(0xffff) }, func(b *Build) { b.Window = 0xffff }},
	{"ttl", func(p *Packet) { p.SetTTL(3) }, func(b *Build) { b.TTL = 3 }},
}

func TestEdits(t *testing.T) {
	for _, e := range edits {
		for _, v6 := range []bool{false, true} {
			for _, partial := range []bool{false, true} {
				for n := range 70 {
					b := Build{Seq: 1, Ack: 0xffffffff, Window: 1000, Urgent: 1, Flags: ACK | SYN, Payload: bytesOf(n), Partial: partial}
					p := parse(t, build(v6, b), 0, partial)
					e.packet(p)
					e.build(&b)
					if want := build(v6, b); !bytes.Equal(p.Data(), want) {
						t.Fatalf("%s, v6 %v, partial %v, %d bytes:\n got %x\nwant %x", e.name, v6, partial, n, p.Data(), want)
					}
				}
			}
		}
	}
}

// TestEditOptions writes to options at every alignment.
func TestEditOptions(t *testing.T) {
	block := seq.Range{From: 0xffffff00, To: 0xffffffff}
	tests := []struct {
		name     string
		edit     func(*Packet) bool
		old, new []byte
	}{
		{"timestamps", func(p *Packet) bool { return p.SetTimestamps(0xfffffff0, 0x01020304) },
			AppendTimestamps(nil, 1, 0xabcdef01), AppendTimestamps(nil, 0xfffffff0, 0x01020304)},
		{"mss", func(p *Packet) bool { return p.SetMSS(0x0155) }, AppendMSS(nil, 1460), AppendMSS(nil, 0x0155)},
		{"sack", func(p *Packet) bool { p.MapSACK(shift); return true },
			AppendSACK(nil, block), AppendSACK(nil, shift(block))},
		{"sack block taken out", func(p *Packet) bool { p.MapSACK(beyond(block.From)); return true },
			AppendSACK(nil, block, seq.Range{From: 1 << 31, To: 1<<31 + 5}, block),
			AppendNOP(AppendSACK(nil, block, block), 8)},
		{"all sack blocks taken out", func(p *Packet) bool { p.MapSACK(beyond(block.To)); return true },
			AppendSACK(nil, block, block), AppendNOP(nil, 18)},
		{"strip", func(p *Packet) bool { return p.StripOption(OptTimestamps) },
			AppendTimestamps(nil, 1, 0xabcdef01), AppendNOP(nil, 10)},
		{"strip all", func(p *Packet) bool { return p.StripOption(OptWScale) },
			AppendWScale(AppendMSS(AppendWScale(nil, 7), 1460), 8), AppendNOP(AppendMSS(AppendNOP(nil, 3), 1460), 3)},
	}
	for _, tt := range tests {
		for nops := range 5 {
			for _, partial := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s behind %d partial %v", tt.name, nops, partial), func(t *testing.T) {
					b := Build{Flags: ACK, Options: append(AppendNOP(nil, nops), tt.old...), Payload: bytesOf(5), Partial: partial}
					p := parse(t, build(true, b), 0, partial)
					if !tt.edit(p) {
						t.Error("option not found")
					}
					b.Options = append(AppendNOP(nil, nops), tt.new...)
					if want := build(true, b); !bytes.Equal(p.Data(), want) {
						t.Errorf("\n got %x\nwant %x", p.Data(), want)
					}
				})
			}
		}
	}
}

// TestEditAbsent makes sure that an option which is not there changes nothing.
func TestEditAbsent(t *testing.T) {
	data := build(false, Build{Flags: ACK, Options: []byte{8, 4, 1, 2, 2, 3, 1, 1, 5, 4, 1, 2}})
	p := parse(t, slices.Clone(data), 0, false)
	p.MapSACK(shift)
	if p.SetTimestamps(1, 2) || p.SetMSS(9) || p.StripOption(OptMD5) || !bytes.Equal(p.Data(), data) {
		t.Errorf("packet became %x, want %x", p.Data(), data)
	}
}

// checkEdits makes every edit, and wants the checksums to hold if they held, the
// values to stand, and all else to stay.
func checkEdits(t *testing.T, p *Packet) {
	t.Helper()
	held := VerifyChecksums(p.Data()) == nil
	payload := slices.Clone(p.Payload())
	reserved := p.tcp[12] & 0xfe
	for _, e := range edits {
		e.packet(p)
	}
	set := p.SetTimestamps(5, 6)
	if val, ecr, ok := p.Timestamps(); ok != set || ok && (val != 5 || ecr != 6) {
		t.Errorf("Timestamps = %d, %d, %v after SetTimestamps", val, ecr, ok)
	}
	if set = p.SetMSS(777); set != p.SynOptions().HasMSS || set && p.SynOptions().MSS != 777 {
		t.Errorf("SynOptions = %+v after SetMSS", p.SynOptions())
	}
	p.MapSACK(shift)
	p.StripOption(OptSACK)
	if n := p.SACKBlocks(new([4]seq.Range)); n != 0 || !p.Options().valid() {
		t.Errorf("%d SACK blocks left in %x", n, p.RawOptions())
	}
	if p.Seq() != 0xfffffffe || p.Ack() != 0 || p.Flags() != 0 || p.Window() != 0xffff || p.TTL() != 3 || p.tcp[12]&0xfe != reserved {
		t.Errorf("header %x after the edits", p.tcp)
	}
	if held && !p.Partial() {
		if err := VerifyChecksums(p.Data()); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(p.Payload(), payload) {
		t.Error("an edit changed the payload")
	}
}

func BenchmarkSetTimestamps(b *testing.B) {
	p := parse(b, build(false, Build{Flags: ACK, Options: timestamps(1, 2)}), 0, false)
	n := uint32(0)
	for b.Loop() {
		n++
		p.SetTimestamps(n, n)
	}
}
