package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// pcap builds a pcap file of frames, all captured at start; snap cuts them.
func pcap(order binary.ByteOrder, nano bool, link layers.LinkType, snap int, frames ...[]byte) []byte {
	magic, unit := uint32(0xa1b2c3d4), 1000
	if nano {
		magic, unit = 0xa1b23c4d, 1
	}
	b := make([]byte, 24)
	order.PutUint32(b[0:], magic)
	order.PutUint16(b[4:], 2) // version 2.4
	order.PutUint16(b[6:], 4)
	order.PutUint32(b[16:], uint32(snap))
	order.PutUint32(b[20:], uint32(link))
	for _, f := range frames {
		kept := f[:min(len(f), snap)]
		head := make([]byte, 16)
		order.PutUint32(head[0:], uint32(start.Unix()))
		order.PutUint32(head[4:], uint32(start.Nanosecond()/unit))
		order.PutUint32(head[8:], uint32(len(kept)))
		order.PutUint32(head[12:], uint32(len(f)))
		b = append(append(b, head...), kept...)
	}
	return b
}

// pcapng builds a section with an interface for each link type, named by its
// number, and one frame on each.
func pcapng(t testing.TB, first int, link []layers.LinkType, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	iface := func(i int) pcapgo.NgInterface {
		return pcapgo.NgInterface{Name: fmt.Sprint("if", first+i), LinkType: link[i]}
	}
	w, err := pcapgo.NewNgWriterInterface(&b, iface(0), pcapgo.NgWriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range link[1:] {
		w.AddInterface(iface(i + 1))
	}
	for i, f := range frames {
		err := w.WritePacket(gopacket.CaptureInfo{Timestamp: start, CaptureLength: len(f), Length: len(f), InterfaceIndex: i % len(link)}, f)
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	return b.Bytes()
}

func compress(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func TestFormats(t *testing.T) {
	raw := layers.LinkTypeRaw
	micro := start.Truncate(time.Microsecond)
	rows := []struct {
		name string
		in   []byte
		want Packet
	}{
		{"pcap", pcap(binary.LittleEndian, false, raw, 1000, ipv4(3)), Packet{Time: micro, Data: ipv4(3)}},
		{"pcap, big-endian", pcap(binary.BigEndian, false, raw, 1000, ipv4(3)), Packet{Time: micro, Data: ipv4(3)}},
		{"pcap, ns", pcap(binary.LittleEndian, true, raw, 1000, ipv6(3)), Packet{Time: start, Data: ipv6(3)}},
		{"pcap, ns, big-endian", pcap(binary.BigEndian, true, raw, 1000, ipv6(3)), Packet{Time: start, Data: ipv6(3)}},
		{"pcap, cut", pcap(binary.LittleEndian, true, raw, 50, ipv4(100)), Packet{Time: start, Data: ipv4(100)[:50], Truncated: true}},
		{"pcap, compressed", compress(pcap(binary.LittleEndian, true, raw, 1000, ipv4(3))), Packet{Time: start, Data: ipv4(3)}},
		{"pcapng", pcapng(t, 0, []layers.LinkType{raw}, ipv4(3)), Packet{InterfaceName: "if0", Time: start, Data: ipv4(3)}},
		{"pcapng, compressed", compress(pcapng(t, 0, []layers.LinkType{raw}, ipv4(3))), Packet{InterfaceName: "if0", Time: start, Data: ipv4(3)}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got, _ := readAll(t, bytes.NewReader(r.in))
			if len(got) != 1 || !reflect.DeepEqual(got[0], r.want) {
				t.Errorf("got  %+v\nwant %+v", got, r.want)
			}
		})
	}
}

func TestLinkTypes(t *testing.T) {
	mac := bytes.Repeat([]byte{2}, 12)
	ether := func(b ...byte) []byte { return append(slices.Clone(mac), b...) }
	sll := func(b ...byte) []byte { return append(make([]byte, 14), b...) }
	sll2 := func(b ...byte) []byte { return append(b, make([]byte, 18)...) }
	four, six := ipv4(5), ipv6(5)
	short := slices.Clone(four) // the header announces one byte more than there is
	short[3]++
	big := slices.Clone(six) // a super-packet too long to say
	big[4], big[5] = 0, 0
	tiny := slices.Clone(four)
	tiny[2], tiny[3] = 0, 19

	rows := []struct {
		name  string
		link  layers.LinkType
		in    []byte
		want  []byte // nil: no IP packet
		whole bool
	}{
		{"raw 4", 101, four, four, true},
		{"raw 6", 101, six, six, true},
		{"raw, BSD's number", 12, four, four, true},
		{"raw, OpenBSD's number", 14, four, four, true},
		{"IPv4", 228, four, four, true},
		{"IPv6", 229, six, six, true},
		{"Ethernet 4", 1, join(ether(8, 0), four), four, true},
		{"Ethernet 6", 1, join(ether(0x86, 0xdd), six), six, true},
		{"Ethernet, padded", 1, join(ether(8, 0), four, make([]byte, 21)), four, true},
		{"Ethernet, VLAN", 1, join(ether(0x81, 0, 0, 7, 8, 0), four), four, true},
		{"Ethernet, two VLANs", 1, join(ether(0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 0x86, 0xdd), six), six, true},
		{"Linux cooked", 113, join(sll(8, 0), four), four, true},
		{"Linux cooked, VLAN", 113, join(sll(0x81, 0, 0, 1, 0x86, 0xdd), six), six, true},
		{"Linux cooked v2", 276, join(sll2(0x86, 0xdd), six), six, true},
		{"null, little-endian", 0, join([]byte{2, 0, 0, 0}, four), four, true},
		{"null, big-endian", 0, join([]byte{0, 0, 0, 2}, four), four, true},
		{"null, IPv6 of macOS", 0, join([]byte{30, 0, 0, 0}, six), six, true},
		{"loop, IPv6 of OpenBSD", 108, join([]byte{0, 0, 0, 24}, six), six, true},
		{"less than its header says", 101, short, short, false},
		{"no length, as BIG TCP", 101, big, big, true},

		{"ARP", 1, join(ether(8, 6), make([]byte, 46)), nil, false},
		{"802.3 length for a type", 1, join(ether(0, 46), make([]byte, 46)), nil, false},
		{"null, of another family", 0, join([]byte{7, 0, 0, 0}, four), nil, false},
		{"neither 4 nor 6", 101, make([]byte, 60), nil, false},
		{"a length below the header's", 101, tiny, nil, false},
		{"empty", 101, nil, nil, false},
		{"half an IP header", 101, six[:39], nil, false},
		{"half an Ethernet header", 1, mac, nil, false},
		{"half a VLAN tag", 1, ether(0x81, 0, 0), nil, false},
		{"half a null header", 0, []byte{2, 0}, nil, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got, whole, ok := stripLink(r.link, r.in)
			if ok != (r.want != nil) || whole != r.whole || !bytes.Equal(got, r.want) {
				t.Errorf("got %x, whole %v, ok %v\nwant %x, whole %v", got, whole, ok, r.want, r.whole)
			}
		})
	}
}

// What is no IP is counted; interfaces of different links mix in one file.
func TestMixedLinks(t *testing.T) {
	arp := join(bytes.Repeat([]byte{2}, 12), []byte{8, 6}, make([]byte, 46))
	in := pcapng(t, 0, []layers.LinkType{1, 101}, arp, ipv4(1), arp, ipv6(2))
	got, r := readAll(t, bytes.NewReader(in))
	want := []Packet{
		{Interface: 1, InterfaceName: "if1", Time: start, Data: ipv4(1)},
		{Interface: 1, InterfaceName: "if1", Time: start, Data: ipv6(2)},
	}
	if !reflect.DeepEqual(got, want) || r.Skipped() != 2 {
		t.Errorf("got  %+v, %d skipped\nwant %+v, 2 skipped", got, r.Skipped(), want)
	}
}

// Interfaces go on counting where a new section begins, read or not.
func TestSections(t *testing.T) {
	raw := layers.LinkTypeRaw
	in := join(
		pcapng(t, 0, []layers.LinkType{raw, raw}, ipv4(1), ipv4(2)),
		pcapng(t, 2, []layers.LinkType{raw, raw}), // no packets
		pcapng(t, 4, []layers.LinkType{raw}, ipv4(3)),
	)
	packets, r := readAll(t, bytes.NewReader(in))
	var got []string
	for _, p := range packets {
		got = append(got, fmt.Sprint(p.Interface, p.InterfaceName))
	}
	if want := []string{"0if0", "1if1", "4if4"}; !slices.Equal(got, want) {
		t.Errorf("packets on %v, want %v", got, want)
	}
	if want := []string{"if0", "if1", "if2", "if3", "if4"}; !slices.Equal(r.Interfaces(), want) {
		t.Errorf("interfaces %v, want %v", r.Interfaces(), want)
	}
}

// Where captures of one machine are joined, an interface stays what it was.
func TestJoinedCaptures(t *testing.T) {
	raw := []layers.LinkType{layers.LinkTypeRaw, layers.LinkTypeRaw}
	in := join(
		pcapng(t, 0, raw, ipv4(1), ipv4(2)),
		pcapng(t, 0, raw),                                            // no packets
		pcapng(t, 0, append(raw, raw[0]), ipv4(1), ipv4(2), ipv4(3)), // one more
		pcapng(t, 1, raw, ipv4(4)),                                   // other names
	)
	packets, r := readAll(t, bytes.NewReader(in))
	var got []string
	for _, p := range packets {
		got = append(got, fmt.Sprint(p.Interface, p.InterfaceName))
	}
	if want := []string{"0if0", "1if1", "0if0", "1if1", "2if2", "3if1"}; !slices.Equal(got, want) {
		t.Errorf("packets on %v, want %v", got, want)
	}
	if want := []string{"if0", "if1", "if2", "if1", "if2"}; !slices.Equal(r.Interfaces(), want) {
		t.Errorf("interfaces %v, want %v", r.Interfaces(), want)
	}
}

func TestReaderErrors(t *testing.T) {
	whole := pcap(binary.LittleEndian, true, layers.LinkTypeRaw, 1000, ipv4(30))
	ng := pcapng(t, 0, []layers.LinkType{layers.LinkTypeRaw}, ipv4(30))
	rows := []struct {
		name string
		in   []byte
		want string
	}{
		{"empty", nil, "unexpected EOF"},
		{"not a capture", []byte("title = \"no capture\"\n\n[[rule]]\n"), "neither pcap nor pcapng"},
		{"half a head", whole[:12], "unexpected EOF"},
		{"half a packet", whole[:len(whole)-1], "unexpected EOF"},
		{"half a packet header", whole[:30], "unexpected EOF"},
		{"pcapng, half a head", ng[:20], "EOF"},
		{"pcapng, half a packet", ng[:len(ng)-1], "unexpected EOF"},
		{"compressed, cut", compress(whole)[:40], "unexpected EOF"},
		{"a link type we do not read", pcap(binary.LittleEndian, true, 105, 1000, ipv4(1)),
			"link type 105 (802.11) is not supported; we read Ethernet, Linux cooked, null, loop and raw IP"},
		{"a link type nobody names", pcap(binary.LittleEndian, true, 250, 1000, ipv4(1)), "link type 250 is not supported"},
		{"pcapng, a link type we do not read", pcapng(t, 0, []layers.LinkType{101, 105}, ipv4(1), ipv4(1)),
			`interface 1 "if1": link type 105 (802.11) is not supported`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			err := drain(bytes.NewReader(r.in))
			if err == nil || err == io.EOF || !strings.Contains(err.Error(), r.want) {
				t.Errorf("got %v, want %q in it", err, r.want)
			}
		})
	}
}

// drain reads to the end; a good end is nil.
func drain(in io.Reader) error {
	r, err := NewReader(in)
	for err == nil {
		_, err = r.Next()
		if err == io.EOF {
			return nil
		}
	}
	return err
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	file := filepath.Join(dir, "empty.pcap")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "empty.pcap") {
		t.Errorf("an empty file: got %v, want an error that names it", err)
	}
}

// Whatever the file: an end or an error, no panic, and no packet that is not one.
func FuzzReader(f *testing.F) {
	raw := layers.LinkTypeRaw
	f.Add(pcap(binary.LittleEndian, false, raw, 1000, ipv4(3), ipv6(3)))
	f.Add(pcap(binary.BigEndian, true, raw, 30, ipv4(30)))
	f.Add(pcap(binary.LittleEndian, true, 1, 1000, join(make([]byte, 12), []byte{0x81, 0, 0, 1, 8, 0}, ipv4(3))))
	f.Add(pcapng(f, 0, []layers.LinkType{raw, 1, 0, 113, 276}, ipv4(3), ipv6(3)))
	f.Add(join(pcapng(f, 0, []layers.LinkType{raw}, ipv4(3)), pcapng(f, 1, []layers.LinkType{raw}, ipv6(3))))
	f.Add(compress(pcap(binary.LittleEndian, false, raw, 1000, ipv4(3))))
	var ours bytes.Buffer
	w, err := New(&ours, Options{Start: start, Comment: "seed 7"}, "client-side", "server-side")
	if err != nil {
		f.Fatal(err)
	}
	w.Packet(1, time.Second, ipv4(9), "drop")
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(ours.Bytes())

	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		for err == nil {
			var p Packet
			if p, err = r.Next(); err != nil {
				break
			}
			if len(p.Data) < 20 || p.Data[0]>>4 != 4 && p.Data[0]>>4 != 6 {
				t.Errorf("not an IP packet: %x", p.Data)
			}
			if names := r.Interfaces(); p.Interface >= len(names) || names[p.Interface] != p.InterfaceName {
				t.Errorf("a packet on interface %d %q of %q", p.Interface, p.InterfaceName, names)
			}
		}
	})
}
