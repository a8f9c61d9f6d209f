package engine_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/remap"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// sendText lets a segment of the client come in that carries a text.
func (w *world) sendText(seq uint32, text string) {
	b := wire.Build{Src: hosts[client], Dst: hosts[server], Seq: seq, Ack: 1, Flags: wire.ACK, Window: 65535, Payload: []byte(text)}
	w.receive(client, tunnel.Header{}, b.Append(nil))
}

// last is the view of what has left last.
func (w *world) last(t *testing.T) (p wire.Packet) {
	t.Helper()
	if len(w.left) == 0 {
		t.Fatal("nothing has left")
	}
	data := w.left[len(w.left)-1].data
	if p.Parse(data, 0, false) != wire.OK || wire.VerifyChecksums(data) != nil {
		t.Fatalf("what has left last is no segment with right checksums: %x", data)
	}
	return p
}

// Edits that wait for their acknowledgment are bounded. Beyond that a segment is lost,
// with everything behind it, so that it comes again and none goes unedited.
func TestTooManyEdits(t *testing.T) {
	const finds = 1000
	lost := 0
	w := newWorld(engine.BoxConfig{
		Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { replace = { find = "ab", with = "c" } }`),
		OnEvent: func(e *engine.Event) {
			if e.Type == engine.EventSegment && e.Reason == "queue" {
				lost++
			}
		},
	})
	w.send(handshake(0)...)
	text, edited := strings.Repeat("ab", finds), strings.Repeat("c", finds)
	whole := remap.Most / finds
	at := func(i int) uint32 { return 1 + 2*finds*uint32(i) }
	w.left = nil
	for i := range whole + 1 {
		w.sendText(at(i), text)
	}
	w.sendText(at(whole+1), "none")
	if len(w.left) != whole || lost != 2 || w.Stats().Losses[engine.LossQueue] != 2 {
		t.Fatalf("%d segments left and %d were lost, want %d and the two behind them", len(w.left), lost, whole)
	}
	w.send(segment{from: server, flags: wire.ACK, seq: 1, ack: 1 + finds*uint32(whole/2)})
	if p := w.last(t); uint32(p.Ack()) != at(whole/2) {
		t.Errorf("half of it is acknowledged by %d, want %d", p.Ack(), at(whole/2))
	}
	w.left = nil
	w.sendText(at(whole), text)
	p := w.last(t)
	if string(p.Payload()) != edited || uint32(p.Seq()) != 1+finds*uint32(whole) {
		t.Errorf("the lost segment left as %d %q", p.Seq(), p.Payload())
	}
	w.sendText(at(whole+1), "none")
	if p := w.last(t); string(p.Payload()) != "none" || uint32(p.Seq()) != 1+finds*uint32(whole+1) {
		t.Errorf("the one behind it left as %d %q", p.Seq(), p.Payload())
	}
}

// A payload that grows beyond what a packet holds leaves in several, cut as its sender would.
func TestHugeReplacement(t *testing.T) {
	with := strings.Repeat("0123456789abcdef", 1000)
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { replace = { find = "x", with = "`+with+`" } }`)})
	w.send(handshake(0)...)
	w.left = nil
	w.sendText(1, "1x2x3x4x5x6x7")
	var got []byte
	for _, l := range w.left {
		var p wire.Packet
		if p.Parse(l.data, 0, false) != wire.OK || wire.VerifyChecksums(l.data) != nil {
			t.Fatalf("no segment: %x", l.data)
		}
		if want := 1 + uint32(len(got)); uint32(p.Seq()) != want {
			t.Fatalf("a piece is at %d, want %d", p.Seq(), want)
		}
		if p.PayloadLen() > 1000 {
			t.Fatalf("a piece has %d bytes", p.PayloadLen())
		}
		got = append(got, p.Payload()...)
	}
	if want := strings.ReplaceAll("1x2x3x4x5x6x7", "x", with); string(got) != want {
		t.Errorf("%d bytes left, want %d", len(got), len(want))
	}
}

// The same seed corrupts the same bits, another one others; ports, length and checksum
// of a header are spared.
func TestCorruptHeader(t *testing.T) {
	play := func(seed uint64) []byte {
		w := newWorld(engine.BoxConfig{Seed: seed, Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { corrupt = { bytes = 20, where = "header", checksum = "keep" } }`)})
		w.send(handshake(0)...)
		w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 5})
		return w.left[len(w.left)-1].data
	}
	sent, _ := segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 5}.packet()
	got := play(1)
	if bytes.Equal(got, play(2)) || !bytes.Equal(got, play(1)) {
		t.Error("the seed does not decide")
	}
	const ip = 20
	flipped := 0
	for i := range sent {
		switch at := i - ip; {
		case sent[i] == got[i]:
		case at < 4 || at == 12 || at == 16 || at == 17 || at >= 20:
			t.Errorf("byte %d of the TCP header is another", at)
		default:
			flipped++
		}
	}
	if flipped != 13 {
		t.Errorf("%d bytes are others, want all 13 that may be", flipped)
	}
}

// A capture shows a segment on each side as it was there.
func TestTapOfEdited(t *testing.T) {
	var seen [2][]string
	w := newWorld(engine.BoxConfig{
		Rules: mustParse(t, `
[[rule]]
name = "grow"
match = { segment = "data" }
action = { replace = { find = "b", with = "BBB" } }
[[rule]]
name = "cut"
match = { segment = "data" }
action = { split = 3 }`),
		Tap: func(side int, _ time.Duration, data []byte, comment string) {
			var p wire.Packet
			if p.Parse(data, 0, false) == wire.OK && p.PayloadLen() > 0 {
				seen[side] = append(seen[side], string(p.Payload())+" "+comment)
			}
		},
	})
	w.send(handshake(0)...)
	w.sendText(1, "abcde")
	const comment = " pass by grow, cut; client ESTABLISHED, server ESTABLISHED"
	for side, want := range [2][]string{{"abcde"}, {"aBB", "Bcd", "e"}} {
		for i := range want {
			want[i] += comment
		}
		if strings.Join(seen[side], "\n") != strings.Join(want, "\n") {
			t.Errorf("on side %d %q, want %q", side, seen[side], want)
		}
	}
}

// A segment that comes again finds its edits made already, and needs no room for them:
// else what is lost behind the box would never come through again.
func TestNoRoomIsNeededTwice(t *testing.T) {
	const finds = 1000
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { replace = { find = "ab", with = "c" } }`)})
	w.send(handshake(0)...)
	text := strings.Repeat("ab", finds)
	for i := range remap.Most / finds {
		w.sendText(1+uint32(i*2*finds), text)
	}
	w.left = nil
	w.sendText(1, text)
	if p := w.last(t); string(p.Payload()) != strings.Repeat("c", finds) || p.Seq() != 1 {
		t.Errorf("what came again left as %d %q", p.Seq(), p.Payload())
	}
}

// The payload of a SYN stands behind it, wherever the numbers begin, and its receiver has
// no numbers yet.
func TestReplaceInSYN(t *testing.T) {
	for _, isn := range []uint32{0, 7, 1 << 31, 1<<31 + 5, 1<<32 - 2} {
		w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { replace = { find = "ab", with = "12345" } }`)})
		syn := wire.Build{Src: hosts[client], Dst: hosts[server], Seq: isn, Flags: wire.SYN, Window: 65535, Payload: []byte("xaby")}
		w.receive(client, tunnel.Header{}, syn.Append(nil))
		if p := w.last(t); string(p.Payload()) != "x12345y" || uint32(p.Seq()) != isn || p.Flags() != wire.SYN {
			t.Errorf("from %d on it left as %v %d %q", isn, p.Flags(), p.Seq(), p.Payload())
		}
	}
}

// Pieces of any size come out, next to the largest packet too.
func TestLargestPieces(t *testing.T) {
	for _, size := range []int{1, 1000, 65400, 65415, 65416, 65440, 65494} {
		w := newWorld(engine.BoxConfig{Rules: mustParse(t, fmt.Sprintf(`
[[rule]]
match = { segment = "data" }
action = { split = %d }`, size))})
		w.send(handshake(0)...)
		w.left = nil
		const sent = 65495
		w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: sent})
		got := 0
		for _, l := range w.left {
			var p wire.Packet
			if p.Parse(l.data, 0, false) != wire.OK || p.PayloadLen() > size || int(p.Seq()) != 1+got {
				t.Fatalf("by %d: a piece of %d bytes at %d, %d had left", size, p.PayloadLen(), p.Seq(), got)
			}
			got += p.PayloadLen()
		}
		if got != sent {
			t.Errorf("by %d: %d bytes left of %d", size, got, sent)
		}
	}
}

// A segment of which nothing is left is acknowledged to nobody once its connection is gone.
func TestEmptiedForNobody(t *testing.T) {
	w := newWorld(engine.BoxConfig{MaxConns: 1, Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
actions = [{ rewrite = { truncate = 0 } }, { delay = "1s" }]`)})
	w.send(handshake(0)...)
	w.send(segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 5})
	w.send(handshake(40001)...)
	w.left = nil
	w.advance(2 * time.Second)
	if len(w.left) != 1 || w.Stats().Waiting != 0 {
		t.Errorf("%d segments left, %d wait", len(w.left), w.Stats().Waiting)
	}
}
