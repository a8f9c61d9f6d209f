package wire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

type option struct {
	kind uint8
	data string
}

func TestOptions(t *testing.T) {
	tests := []struct {
		name  string
		bytes []byte
		want  []option
		valid bool
	}{
		{"none", nil, nil, true},
		{"NOPs", []byte{1, 1, 1, 1}, nil, true},
		{"EOL ends", []byte{1, 0, 2, 4}, nil, true},
		{"one", []byte{2, 4, 5, 6}, []option{{2, "\x05\x06"}}, true},
		{"without data", []byte{4, 2}, []option{{4, ""}}, true},
		{"unknown kind", []byte{253, 3, 9, 1}, []option{{253, "\x09"}}, true},
		{"NOPs between", []byte{1, 4, 2, 1, 3, 3, 7}, []option{{4, ""}, {3, "\x07"}}, true},
		{"timestamps as usual", timestamps(1, 2), []option{{8, "\x00\x00\x00\x01\x00\x00\x00\x02"}}, true},
		{"kind alone", []byte{4, 2, 8}, []option{{4, ""}}, false},
		{"length 0", []byte{4, 2, 8, 0}, []option{{4, ""}}, false},
		{"length 1", []byte{4, 2, 8, 1}, []option{{4, ""}}, false},
		{"too long", []byte{4, 2, 8, 3}, []option{{4, ""}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []option
			for kind, data := range Options(tt.bytes).All() {
				got = append(got, option{kind, string(data)})
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("options = %q, want %q", got, tt.want)
			}
			if got := Options(tt.bytes).valid(); got != tt.valid {
				t.Errorf("valid = %v, want %v", got, tt.valid)
			}
		})
	}
}

func TestOptionsBreak(t *testing.T) {
	for kind := range Options([]byte{4, 2, 3, 3, 7}).All() {
		if kind != OptSACKPermitted {
			t.Fatalf("went on to kind %d", kind)
		}
		break
	}
}

func TestTimestamps(t *testing.T) {
	tests := []struct {
		name     string
		options  []byte
		val, ecr uint32
		ok       bool
	}{
		{"as usual", timestamps(0x01020304, 0xf0e0d0c0), 0x01020304, 0xf0e0d0c0, true},
		{"odd place", oddTimestamps(0x01020304, 0xf0e0d0c0), 0x01020304, 0xf0e0d0c0, true},
		{"at the start", AppendTimestamps(nil, 3, 4), 3, 4, true},
		{"last of two", AppendTimestamps(AppendTimestamps(nil, 1, 2), 3, 4), 3, 4, true},
		{"behind others", AppendTimestamps(AppendSACKPermitted(AppendMSS(nil, 1)), 3, 4), 3, 4, true},
		{"before SACK", AppendSACK(timestamps(3, 4), seq.Range{From: 1, To: 2}), 3, 4, true},
		{"none", AppendMSS(nil, 1460), 0, 0, false},
		{"no options", nil, 0, 0, false},
		{"wrong size", []byte{8, 6, 1, 2, 3, 4}, 0, 0, false},
		{"behind EOL", append([]byte{0, 0}, AppendTimestamps(nil, 3, 4)...), 0, 0, false},
	}
	for _, tt := range tests {
		p := parse(t, build(false, Build{Flags: ACK, Options: tt.options}), 0, false)
		if val, ecr, ok := p.Timestamps(); val != tt.val || ecr != tt.ecr || ok != tt.ok {
			t.Errorf("%s: Timestamps = %#x, %#x, %v, want %#x, %#x, %v", tt.name, val, ecr, ok, tt.val, tt.ecr, tt.ok)
		}
		if got := p.SynOptions().Timestamps; got != tt.ok {
			t.Errorf("%s: SynOptions().Timestamps = %v, want %v", tt.name, got, tt.ok)
		}
	}
}

func TestSynOptions(t *testing.T) {
	tests := []struct {
		name    string
		options []byte
		want    SynOptions
	}{
		{"none", nil, SynOptions{}},
		{"as Linux sends them",
			AppendWScale(AppendNOP(AppendTimestamps(AppendSACKPermitted(AppendMSS(nil, 1460)), 1, 0), 1), 7),
			SynOptions{MSS: 1460, HasMSS: true, WScale: 7, HasWScale: true, SACKPermitted: true, Timestamps: true}},
		{"MSS alone", AppendMSS(nil, 536), SynOptions{MSS: 536, HasMSS: true}},
		{"scale of zero", AppendWScale(nil, 0), SynOptions{HasWScale: true}},
		{"scale of 14", AppendWScale(nil, 14), SynOptions{WScale: 14, HasWScale: true}},
		{"scale of 15", AppendWScale(nil, 15), SynOptions{WScale: 14, HasWScale: true}},
		{"wrong sizes", []byte{2, 3, 9, 3, 4, 7, 7, 4, 3, 1}, SynOptions{}},
	}
	for _, tt := range tests {
		p := parse(t, build(true, Build{Flags: SYN, Options: tt.options}), 0, false)
		if got := p.SynOptions(); got != tt.want {
			t.Errorf("%s: SynOptions = %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestSACKBlocks(t *testing.T) {
	blocks := []seq.Range{{From: 0xfffffff0, To: 16}, {From: 30, To: 40}, {From: 50, To: 60}, {From: 70, To: 80}}
	for n := 1; n <= 4; n++ {
		for nops := range 3 {
			options := AppendSACK(AppendNOP(nil, nops), blocks[:n]...)
			p := parse(t, build(false, Build{Flags: ACK, Options: options}), 0, false)
			var got [4]seq.Range
			if k := p.SACKBlocks(&got); k != n || !slices.Equal(got[:k], blocks[:n]) {
				t.Errorf("%d blocks: %v", n, got[:k])
			}
		}
	}
	for _, options := range [][]byte{nil, {5, 2}, {5, 6, 1, 2, 3, 4}, timestamps(1, 2)} {
		p := parse(t, build(false, Build{Flags: ACK, Options: options}), 0, false)
		if k := p.SACKBlocks(new([4]seq.Range)); k != 0 {
			t.Errorf("options %x: %d blocks, want none", options, k)
		}
	}
}

func FuzzOptions(f *testing.F) {
	for _, packet := range seeds() {
		var p Packet
		if p.Parse(packet, 0, false) == OK {
			f.Add(p.RawOptions())
		}
	}
	f.Add([]byte{1, 1, 8})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var rebuilt []byte
		for kind, data := range Options(raw).All() {
			if kind == OptNOP || kind == OptEOL || len(data) > len(raw)-2 {
				t.Fatalf("option %d of %d bytes in %x", kind, len(data), raw)
			}
			rebuilt = append(append(rebuilt, kind, uint8(len(data)+2)), data...)
		}
		if !Options(rebuilt).valid() {
			t.Errorf("%x, the options of %x, are not valid", rebuilt, raw)
		}
		if !Options(raw).valid() || len(raw) > maxOptions {
			return
		}
		b := Build{Src: client4, Dst: server4, Flags: ACK, Options: raw}
		data := b.Append(nil)
		p := parse(t, data, 0, false)
		p.Timestamps()
		p.SynOptions()
		p.SACKBlocks(new([4]seq.Range))
		if !bytes.HasPrefix(p.RawOptions(), raw) {
			t.Errorf("RawOptions = %x, want %x", p.RawOptions(), raw)
		}
		checkEdits(t, p)
	})
}
