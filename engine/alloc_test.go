package engine_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// discard is an Output that counts.
type discard struct{ packets, bytes int }

func (d *discard) Write(e *engine.Emission) error {
	d.packets++
	d.bytes += len(e.Head) + len(e.Body)
	return nil
}

// A stream is an open connection whose client sends data without end, which the server
// acknowledges.
type stream struct {
	box    *engine.Box
	out    discard
	data   []byte
	header tunnel.Header
	packet wire.Packet
	answer []byte
	ack    wire.Packet
}

func newStream(set *rules.Set, size, gso int) *stream {
	s := &stream{}
	s.box = engine.NewBox(engine.BoxConfig{Rules: set, Output: &s.out, Offload: [2]bool{true, true}}, 0)
	for _, open := range handshake(0) {
		data, h := open.packet()
		s.receive(open.from, h, data)
	}
	s.data, s.header = segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: size, gso: gso}.packet()
	s.packet.Parse(s.data, 0, gso > 0)
	s.answer, _ = segment{from: server, flags: wire.ACK, seq: 1, ack: 1}.packet()
	s.ack.Parse(s.answer, 0, false)
	s.out = discard{}
	return s
}

func (s *stream) receive(side int, h tunnel.Header, data []byte) {
	buf := s.box.Buf()
	buf.Header = h
	buf.SetLen(copy(buf.Space(), data))
	s.box.Receive(0, side, buf)
}

// step sends the next packet, and its acknowledgment.
func (s *stream) step() {
	s.receive(client, s.header, s.data)
	s.packet.SetSeq(s.packet.Seq() + seq.Num(s.packet.PayloadLen()))
	s.ack.SetAck(s.packet.Seq())
	s.receive(server, tunnel.Header{}, s.answer)
}

// candidates is rules that concern the connection and fire on none of its segments.
func candidates(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "[[rule]]\nname = \"r%d\"\nmatch = { port = 8080, segment = \"data\", length = \"%d\" }\naction = \"drop\"\n", i, 9000+i)
	}
	return text.String()
}

const (
	otherPort = "[[rule]]\nmatch = { port = 9 }\naction = \"drop\"\n"
	contents  = "[[rule]]\nmatch = { segment = \"data\", payload = [\"^GET /[a-z]+\", \"(?i)quit\"] }\naction = \"drop\"\n" +
		"[[rule]]\nmatch = { option = \"sack\" }\naction = \"drop\"\n" +
		"[[rule]]\nmatch = { segment = \"data\", payload_hex = \"16 03 01 02\" }\naction = \"drop\"\n" +
		"[[rule]]\nmatch = { offset = \"contains 5000000000000\" }\naction = \"drop\"\n"
	moments   = "[[rule]]\nat = { idle = \"5s\" }\naction = \"reset\"\n[[rule]]\nat = { state = \"CLOSE_WAIT\" }\naction = \"reset\"\n"
	dropFifth = "[[rule]]\nmatch = { segment = \"data\" }\nevery = 5\naction = \"drop\"\n"
	shifted   = "[[rule]]\nmatch = { segment = \"syn\" }\naction = { rewrite = { shift_seq = 77, shift_timestamp = 5 } }\n"
	zeroed    = "[[rule]]\nmatch = { segment = \"data\" }\naction = { rewrite = { window = 0, ttl = 9 } }\n"
	crumbled  = "[[rule]]\nmatch = { segment = \"data\" }\naction = { split = 500 }\n"
)

func TestNoAllocations(t *testing.T) {
	tests := []struct {
		name, rules string
		size, gso   int
	}{
		{"no rule", "", 1400, 0},
		{"no rule that is concerned", otherPort, 1400, 0},
		{"ten candidates that do not fire", candidates(10), 1400, 0},
		{"a super-packet, none concerned", otherPort, 45 * 1400, 1400},
		{"a super-packet and ten candidates", candidates(10), 45 * 1400, 1400},
		{"what segments carry", contents, 1400, 0},
		{"what segments of a super-packet carry", contents, 45 * 1400, 1400},
		{"a rule that acts at a moment", moments, 1400, 0},
		{"a super-packet and such a rule", moments, 45 * 1400, 1400},
		{"a drop", dropFifth, 1400, 0},
		{"a super-packet split by drops", dropFifth, 45 * 1400, 1400},
		{"a translated segment", shifted, 1400, 0},
		{"a translated super-packet", shifted, 45 * 1400, 1400},
		{"a translated super-packet split by drops", shifted + dropFifth, 45 * 1400, 1400},
		{"a segment with another window", zeroed, 1400, 0},
		{"a super-packet with another window", zeroed, 45 * 1400, 1400},
		{"a super-packet cut smaller", crumbled, 45 * 1400, 1400},
	}
	for _, tt := range tests {
		if tt.rules == contents && poolsForget() {
			continue
		}
		s := newStream(mustParse(t, tt.rules), tt.size, tt.gso)
		if n := testing.AllocsPerRun(200, s.step); n != 0 {
			t.Errorf("%s: %v allocations for a packet", tt.name, n)
		}
		if s.out.packets == 0 {
			t.Errorf("%s: nothing left", tt.name)
		}
	}
}

func BenchmarkBox(b *testing.B) {
	for _, bb := range []struct {
		name, rules string
		size, gso   int
	}{
		{"forward", otherPort, 1400, 0},
		{"forward-super", otherPort, 45 * 1400, 1400},
		{"select-10", candidates(10), 1400, 0},
		{"select-10-super", candidates(10), 45 * 1400, 1400},
		{"split-super", dropFifth, 45 * 1400, 1400},
		{"shift-super", shifted, 45 * 1400, 1400},
		{"window-super", zeroed, 45 * 1400, 1400},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := newStream(mustParse(b, bb.rules), bb.size, bb.gso)
			b.ReportAllocs()
			for b.Loop() {
				s.step()
			}
			segments := 1
			if bb.gso > 0 {
				segments = bb.size / bb.gso
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
			b.ReportMetric(float64(b.N*segments)/b.Elapsed().Seconds(), "segments/s")
		})
	}
}

// poolsForget tells whether a sync.Pool loses much of what it is given, as it does on
// purpose under the race detector. Regular expressions allocate then.
func poolsForget() bool {
	made := 0
	pool := sync.Pool{New: func() any { made++; return new(int) }}
	for range 1000 {
		pool.Put(pool.Get())
	}
	return made > 100
}
