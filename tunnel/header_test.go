package tunnel

import (
	"encoding/binary"
	"testing"
)

func TestHeader(t *testing.T) {
	tests := []struct {
		name    string
		header  Header
		gso     int
		partial bool
		needs   bool
	}{
		{"nothing", Header{}, 0, false, false},
		{"verified", Header{Flags: DataValid}, 0, false, false},
		{"partial", Header{Flags: NeedsCsum}, 0, true, true},
		{"tcp4", Header{Flags: NeedsCsum, GSOType: GSOTCPv4, GSOSize: 1448}, 1448, true, true},
		{"tcp6", Header{Flags: NeedsCsum, GSOType: GSOTCPv6, GSOSize: 1428}, 1428, true, true},
		{"tcp4 with CWR", Header{Flags: NeedsCsum, GSOType: GSOTCPv4 | GSOECN, GSOSize: 1448}, 1448, true, true},
		{"size without type", Header{GSOSize: 1448}, 0, false, false},
		{"udp is no super-packet of ours", Header{GSOType: 5, GSOSize: 1200}, 0, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := test.header
			if h.GSO() != test.gso || h.Partial() != test.partial || h.NeedsOffload() != test.needs {
				t.Errorf("%+v: GSO %d, Partial %t, NeedsOffload %t, want %d, %t, %t",
					h, h.GSO(), h.Partial(), h.NeedsOffload(), test.gso, test.partial, test.needs)
			}
		})
	}
}

// The layout is struct virtio_net_hdr of linux/virtio_net.h.
func TestHeaderLayout(t *testing.T) {
	var b [headerLen]byte
	Header{Flags: 1, GSOType: 2, HdrLen: 0x0304, GSOSize: 0x0506, CsumStart: 0x0708, CsumOffset: 0x090a}.encode(&b)
	want := []byte{1, 2}
	for _, v := range []uint16{0x0304, 0x0506, 0x0708, 0x090a} {
		want = binary.NativeEndian.AppendUint16(want, v)
	}
	if string(b[:]) != string(want) {
		t.Errorf("encoded %x, want %x", b, want)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte{NeedsCsum, GSOTCPv4, 54, 0, 0xa8, 5, 20, 0, 16, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var in, out [headerLen]byte
		copy(in[:], data)
		decodeHeader(&in).encode(&out)
		if in != out {
			t.Errorf("decoded and encoded %x is %x", in, out)
		}
	})
}
