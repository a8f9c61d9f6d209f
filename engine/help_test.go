package engine_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// The sides of a box in these tests.
const (
	client = iota
	server
)

var hosts = [2]netip.AddrPort{
	netip.MustParseAddrPort("10.77.1.1:40000"),
	netip.MustParseAddrPort("10.77.2.1:8080"),
}

// A segment is one packet of a connection between the two hosts, or several
// with the same headers if gso is set. Numbers count from an ISN of 0.
type segment struct {
	from     int
	port     uint16 // the client's, if not 40000
	flags    wire.Flags
	seq, ack uint32
	size     int
	gso      int
	id       uint16
}

// packet makes its bytes and what a kernel leaves undone of them.
func (s segment) packet() ([]byte, tunnel.Header) {
	at := hosts
	if s.port != 0 {
		at[client] = netip.AddrPortFrom(hosts[client].Addr(), s.port)
	}
	payload := make([]byte, s.size)
	for i := range payload {
		payload[i] = byte(s.seq) + byte(i)*7
	}
	b := wire.Build{
		Src: at[s.from], Dst: at[1-s.from], Seq: s.seq, Ack: s.ack, Flags: s.flags, Window: 65535,
		Payload: payload, ID: s.id, Partial: s.gso > 0,
	}
	var h tunnel.Header
	if s.gso > 0 {
		h = tunnel.Header{
			Flags: tunnel.NeedsCsum, GSOType: tunnel.GSOTCPv4, GSOSize: uint16(s.gso),
			HdrLen: 40, CsumStart: 20, CsumOffset: 16,
		}
	}
	return b.Append(nil), h
}

// handshake is the packets that open a connection.
func handshake(port uint16) []segment {
	return []segment{
		{from: client, port: port, flags: wire.SYN},
		{from: server, port: port, flags: wire.SYN | wire.ACK, ack: 1},
		{from: client, port: port, flags: wire.ACK, seq: 1, ack: 1},
	}
}

// A world is a Box with everything that has left it.
type world struct {
	*engine.Box
	now  time.Duration
	left []left
}

// left is one segment that has left, complete; super-packets are cut up.
type left struct {
	at   time.Duration
	side int
	data []byte
}

func newWorld(cfg engine.BoxConfig) *world {
	w := &world{}
	cfg.Output = w
	w.Box = engine.NewBox(cfg, 0)
	return w
}

// Write takes what leaves, segment by segment.
func (w *world) Write(e *engine.Emission) error {
	whole := slices.Concat(e.Head, e.Body)
	var p wire.Packet
	if p.Parse(whole, e.Header.GSO(), e.Header.Partial()) != wire.OK {
		w.left = append(w.left, left{w.now, e.Side, whole})
		return nil
	}
	for i := range p.Segments() {
		w.left = append(w.left, left{w.now, e.Side, p.Materialize(i, nil)})
	}
	return nil
}

// receive gives the Box a packet.
func (w *world) receive(side int, h tunnel.Header, data []byte) {
	buf := w.Buf()
	buf.Header = h
	buf.SetLen(copy(buf.Space(), data))
	w.Receive(w.now, side, buf)
}

// send lets packets come in, one after the other.
func (w *world) send(segments ...segment) {
	for _, s := range segments {
		data, h := s.packet()
		w.receive(s.from, h, data)
	}
}

// advance moves the clock, and the Box through what is due on the way.
func (w *world) advance(to time.Duration) {
	for {
		at, ok := w.Next()
		if !ok || at > to {
			break
		}
		w.now = max(w.now, at)
		w.Advance(w.now)
	}
	w.now = to
}

// mustParse is rules.Parse of a test's own text.
func mustParse(t testing.TB, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
