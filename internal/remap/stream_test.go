package remap

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// A line is a sender, a map and a receiver, with a network that loses and cuts.
type line struct {
	t    *testing.T
	r    *rand.Rand
	m    Map
	base seq.Num
	sent []byte // the sender's stream
	want []byte // the receiver's
	nxt  int    // end of what has been sent
	una  int    // what the sender knows to be acknowledged

	shift uint32
	got   map[seq.Num]byte // by the receiver's number
	rcv   seq.Num          // what it acknowledges
	left  seq.Num          // end of what has left for it
	begun seq.Num
}

func newLine(t *testing.T, seed uint64) *line {
	r := rand.New(rand.NewPCG(seed, 7))
	l := &line{t: t, r: r, base: seq.Num(r.Uint32()), got: map[seq.Num]byte{}}
	if r.IntN(2) == 0 {
		l.base = seq.Num(0).Add(-uint32(r.IntN(300))) // wraps early
	}
	if r.IntN(2) == 0 {
		l.shift = r.Uint32()
		l.m.Shift(l.shift)
	}
	l.rcv = l.base.Add(l.shift)
	l.begun, l.left = l.rcv, l.rcv
	return l
}

func (l *line) number(i int) seq.Num { return l.base.Add(uint32(i)) }

// write sends new bytes, some of which are edited on the way.
func (l *line) write(n int) {
	from := len(l.sent)
	for range n {
		l.sent = append(l.sent, byte('a'+l.r.IntN(26)))
	}
	for at := from; at < len(l.sent); {
		del := min(l.r.IntN(6), len(l.sent)-at)
		with := "0123456789"[:l.r.IntN(10)]
		if l.r.IntN(3) > 0 || l.m.ToReceiver(l.number(at)).Less(l.left) || !l.m.Replace(l.number(at), uint32(del), with) {
			l.want = append(l.want, l.sent[at])
			at++
			continue
		}
		l.want = append(l.want, with...)
		if del == 0 {
			l.want = append(l.want, l.sent[at])
			at++
		}
		at += del
	}
	l.segment(from, len(l.sent))
	l.nxt = len(l.sent)
}

// again sends from the oldest unacknowledged byte on, or from some other one.
func (l *line) again() {
	from := l.una
	if l.r.IntN(3) == 0 {
		from = max(0, l.nxt-l.r.IntN(40))
	}
	l.segment(from, min(l.nxt, from+1+l.r.IntN(30)))
}

// segment lets a stretch leave, or be lost before the map or behind it.
func (l *line) segment(from, to int) {
	if l.r.IntN(5) == 0 || from >= to {
		return
	}
	r := seq.Range{From: l.number(from), To: l.number(to)}
	start, data, short := l.m.Edit(nil, r, l.sent[from:to])
	if short {
		l.t.Fatal("cut short without a FIN")
	}
	if l.m.Plain(r) && (start != l.m.ToReceiver(r.From) || !bytes.Equal(data, l.sent[from:to])) {
		l.t.Fatalf("%d to %d are plain, and come out as %q", from, to, data)
	}
	l.left = seq.Max(l.left, start.Add(uint32(len(data))))
	if l.r.IntN(5) == 0 {
		return
	}
	for i, c := range data {
		n := start.Add(uint32(i))
		if n.Less(l.rcv) {
			continue
		}
		if had, ok := l.got[n]; ok && had != c {
			l.t.Fatalf("byte %d was %q, and is %q now", n-l.begun, had, c)
		}
		l.got[n] = c
	}
	for ; ; l.rcv++ {
		if _, ok := l.got[l.rcv]; !ok {
			break
		}
	}
}

// ack acknowledges what the receiver has, as far as it does not get lost.
func (l *line) ack() {
	ack := l.m.ToSender(l.rcv)
	if n := int(l.base.Size(ack)); n > l.nxt {
		l.t.Fatalf("%d bytes are acknowledged of %d", n, l.nxt)
	}
	if whole := l.m.ToReceiver(ack); l.rcv.Less(whole) && l.r != nil && l.m.Plain(seq.Range{From: ack, To: ack.Add(1)}) {
		l.t.Fatalf("%d is acknowledged, which is %d there, and it has %d", ack-l.base, whole-l.begun, l.rcv-l.begun)
	}
	l.m.Acked(l.rcv)
	if l.r.IntN(4) > 0 {
		l.una = max(l.una, int(l.base.Size(ack)))
	}
}

// Any stream through random edits, cuts, losses and retransmissions with other
// boundaries arrives exactly as edited, and all of it is acknowledged.
func run(t *testing.T, seed uint64) {
	l := newLine(t, seed)
	for range 20 + l.r.IntN(60) {
		switch l.r.IntN(4) {
		case 0, 1:
			l.write(1 + l.r.IntN(25))
		case 2:
			l.again()
		case 3:
			l.ack()
		}
	}
	for range 100_000 {
		if l.una == l.nxt {
			break
		}
		l.again()
		l.ack()
	}
	if l.una != l.nxt {
		t.Fatalf("seed %d: %d of %d are acknowledged", seed, l.una, l.nxt)
	}
	var got []byte
	for n := l.begun; n != l.rcv; n++ {
		got = append(got, l.got[n])
	}
	if !bytes.Equal(got, l.want) {
		t.Fatalf("seed %d: %d bytes arrived, want %d:\n got %q\nwant %q", seed, len(got), len(l.want), got, l.want)
	}
	if len(l.m.edits) > 0 {
		t.Fatalf("seed %d: all is acknowledged, and %d edits are kept", seed, len(l.m.edits))
	}
}

func TestStreams(t *testing.T) {
	for seed := range uint64(3000) {
		run(t, seed)
	}
}

func FuzzStreams(f *testing.F) {
	f.Add(uint64(1 << 40))
	f.Fuzz(run)
}

// What is acknowledged comes out as what was sent, and numbers keep their order.
func FuzzNumbers(f *testing.F) {
	f.Add(uint32(0), []byte{1, 2, 3, 4, 5, 6})
	f.Fuzz(func(t *testing.T, base uint32, edits []byte) {
		m, at := &Map{}, seq.Num(base)
		edits = edits[:min(len(edits), 300)]
		for ; len(edits) >= 3; edits = edits[3:] {
			at = at.Add(uint32(edits[0]))
			m.Replace(at, uint32(edits[1]%9), "12345678"[:edits[2]%9])
		}
		before := m.ToReceiver(seq.Num(base) - 1)
		for n := seq.Num(base); n != at.Add(20); n++ {
			is := m.ToReceiver(n)
			if is.Less(before) {
				t.Fatalf("%d is %d, the one before it %d", n, is, before)
			}
			if back := m.ToSender(is); m.Plain(seq.RangeOf(n, 1)) && back.Less(n) {
				t.Fatalf("%d is %d, and that %d", n, is, back)
			}
			before = is
		}
	})
}
