package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// mustLoadSteering skips the test, or fails it where privileges are required.
func mustLoadSteering(t *testing.T) *ebpf.Program {
	t.Helper()
	prog, err := loadSteering()
	if errors.Is(err, fs.ErrPermission) && os.Getenv("TCPMANGLE_REQUIRE_TUN") != "1" {
		t.Skipf("needs to load a BPF program: %v", err)
	}
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { prog.Close() })
	return prog
}

// steered runs the program on an IP packet. The kernel takes the link header off;
// its type is not that of IP, since stumps of IP packets would be refused.
func steered(t *testing.T, prog *ebpf.Program, packet []byte) uint32 {
	t.Helper()
	const ethernet = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x88\xb5"
	n, err := prog.Run(&ebpf.RunOptions{Data: append([]byte(ethernet), packet...)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// steerHash is the program in Go; what lies beyond the packet's end makes it 0.
func steerHash(packet []byte) (hash uint32) {
	defer func() {
		if recover() != nil {
			hash = 0
		}
	}()
	words := func(b []byte, from, to int) (x uint32) {
		for at := from; at < to; at += 4 {
			x ^= binary.BigEndian.Uint32(b[at : at+4])
		}
		return x
	}
	return func(b []byte) uint32 {
		for quoted := false; ; quoted = true {
			var x uint32
			var size, proto int
			var isError func(int) bool
			fragment := false
			switch b[0] >> 4 {
			case 4:
				x, size, proto = words(b, 12, 20), int(b[0]&15)*4, int(b[9])
				fragment = binary.BigEndian.Uint16(b[6:8])&0x3fff != 0
				isError = func(typ int) bool { return proto == 1 && (typ == 3 || typ == 4 || typ == 11 || typ == 12) }
			case 6:
				x, size, proto = words(b, 8, 40), 40, int(b[6])
				isError = func(typ int) bool { return proto == 58 && typ >= 1 && typ <= 4 }
			default:
				return 0
			}
			switch {
			case fragment:
			case proto == 6:
				x ^= uint32(binary.BigEndian.Uint16(b[size:size+2])) ^ uint32(binary.BigEndian.Uint16(b[size+2:size+4]))
			case (proto == 1 || proto == 58) && !quoted && isError(int(b[size])):
				b = b[size+8:]
				continue
			}
			return x * golden >> 16
		}
	}(slices.Clip(packet))
}

// A tuple is one connection.
type tuple struct{ a, b netip.AddrPort }

func randomTuple(r *rand.Rand, v6 bool) tuple {
	addr := func() netip.AddrPort {
		var raw [16]byte
		binary.BigEndian.PutUint64(raw[:], r.Uint64())
		binary.BigEndian.PutUint64(raw[8:], r.Uint64())
		ip := netip.AddrFrom16(raw)
		if !v6 {
			ip = netip.AddrFrom4([4]byte(raw[:4]))
		}
		return netip.AddrPortFrom(ip, uint16(r.Uint32()))
	}
	return tuple{addr(), addr()}
}

// segment is a packet of the connection from its first end to its second.
func (c tuple) segment() []byte {
	return (&wire.Build{Src: c.a, Dst: c.b, Flags: wire.ACK, Window: 1000, Payload: []byte("data")}).Append(nil)
}

func (c tuple) back() tuple { return tuple{c.b, c.a} }

// withOptions gives an IPv4 packet so many words of IP options.
func withOptions(packet []byte, words int) []byte {
	p := append([]byte{}, packet[:20]...)
	p = append(p, make([]byte, 4*words)...)
	p = append(p, packet[20:]...)
	p[0] = 0x40 | byte(5+words)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	return p
}

// icmpError is an error that some router reports about a packet to its sender.
func icmpError(packet []byte, typ byte) []byte {
	var p []byte
	if packet[0]>>4 == 4 {
		p = make([]byte, 20)
		p[0], p[9], p[15] = 0x45, 1, 99
		copy(p[16:20], packet[12:16])
	} else {
		p = make([]byte, 40)
		p[0], p[6], p[23] = 0x60, 58, 99
		copy(p[24:40], packet[8:24])
	}
	return append(append(p, typ, 0, 0, 0, 0, 0, 0, 0), packet...)
}

// The kernel and Go hash alike, and both directions of a connection, and the
// errors about it, come out the same.
func TestSteeringProgram(t *testing.T) {
	prog := mustLoadSteering(t)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		c := randomTuple(r, i%2 == 1)
		want := steerHash(c.segment())
		ways := map[string][]byte{
			"there": c.segment(), "back": c.back().segment(),
		}
		if i%2 == 0 {
			ways["there with options"] = withOptions(c.segment(), 1+r.IntN(10))
			ways["an error about it"] = icmpError(c.segment(), 3)
			ways["an error about the way back"] = icmpError(withOptions(c.back().segment(), 3), 11)
		} else {
			ways["an error about it"] = icmpError(c.segment(), 1)
			ways["an error about the way back"] = icmpError(c.back().segment(), 4)
		}
		for name, packet := range ways {
			if kernel, here := steered(t, prog, packet), steerHash(packet); kernel != want || here != want {
				t.Fatalf("%v, %s: %d in the kernel and %d here, want %d", c, name, kernel, here, want)
			}
		}
	}
}

// What has no ports goes by its addresses; what is odd goes anywhere, but the
// kernel and Go agree on where, and nothing fails.
func TestSteeringOddPackets(t *testing.T) {
	prog := mustLoadSteering(t)
	c4 := tuple{netip.MustParseAddrPort("10.77.1.1:40000"), netip.MustParseAddrPort("10.77.2.1:8080")}
	c6 := tuple{netip.MustParseAddrPort("[fd77:1::1]:40000"), netip.MustParseAddrPort("[fd77:2::1]:8080")}
	edit := func(packet []byte, at int, to byte) []byte { packet[at] = to; return packet }
	rows := map[string][]byte{
		"a first fragment":       edit(c4.segment(), 6, 0x20),
		"a later fragment":       edit(c4.segment(), 7, 5),
		"UDP":                    edit(c4.segment(), 9, 17),
		"UDP in IPv6":            edit(c6.segment(), 6, 17),
		"an extension header":    edit(c6.segment(), 6, 44),
		"an echo":                icmpError(c4.segment(), 8),
		"an echo in IPv6":        icmpError(c6.segment(), 128),
		"type 0 in IPv6":         icmpError(c6.segment(), 0),
		"an error about one":     icmpError(icmpError(c4.segment(), 3), 3),
		"an error of IPv6 in v4": append(icmpError(c4.segment(), 3)[:28], icmpError(c6.segment(), 1)...),
		"version 5":              edit(c4.segment(), 0, 0x55),
	}
	for n := 1; n < 28; n++ {
		rows[fmt.Sprintf("%d bytes of IPv4", n)] = c4.segment()[:n]
		rows[fmt.Sprintf("%d bytes of IPv6", 2*n)] = c6.segment()[:2*n]
		rows[fmt.Sprintf("%d bytes of an error", 24+n)] = icmpError(c4.segment(), 3)[:24+n]
	}
	for name, packet := range rows {
		if kernel, here := steered(t, prog, packet), steerHash(packet); kernel != here {
			t.Errorf("%s: %d in the kernel, %d here: %x", name, kernel, here, packet)
		}
	}
	if a, b := steerHash(rows["a first fragment"]), steerHash(rows["a later fragment"]); a != b {
		t.Errorf("fragments go to %d and %d", a, b)
	}
}

// Connections spread evenly, also if their ports are neighbours or all even.
func TestSteeringSpreads(t *testing.T) {
	const queues, conns = 8, 8000
	for _, step := range []int{1, 2} {
		var load [queues]int
		for i := range conns {
			c := tuple{
				netip.AddrPortFrom(netip.MustParseAddr("10.77.1.1"), uint16(32768+i*step)),
				netip.MustParseAddrPort("10.77.2.1:8080"),
			}
			load[steerHash(c.segment())%queues]++
		}
		for q, n := range load {
			if n < conns/queues*9/10 || n > conns/queues*11/10 {
				t.Errorf("ports by %d: queue %d has %d of %d connections: %v", step, q, n, conns, load)
			}
		}
	}
}
