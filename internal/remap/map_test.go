package remap

import (
	"math"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// bases are where a stream begins: also such that its numbers wrap in the midst of edits.
var bases = []seq.Num{0, 1000, 1<<31 - 12, math.MaxUint32 - 11, math.MaxUint32}

// build makes a map of edits given in offsets from a base.
func build(base seq.Num, edits ...edit) *Map {
	m := &Map{}
	for _, e := range edits {
		switch {
		case e.ins == 1 && e.with == "":
			m.PutFIN(base + e.at)
		case !m.Replace(base+e.at, e.del, e.with):
			panic("refused")
		}
	}
	return m
}

func put(at seq.Num, text string) edit { return edit{at: at, with: text} }
func cut(at seq.Num, del uint32) edit  { return edit{at: at, del: del} }
func swap(at seq.Num, del uint32, text string) edit {
	return edit{at: at, del: del, with: text}
}
func forged(at seq.Num) edit { return edit{at: at, ins: 1} }

func TestNumbers(t *testing.T) {
	tests := []struct {
		name  string
		edits []edit
		to    map[seq.Num]seq.Num // sender's number → receiver's
		back  map[seq.Num]seq.Num // receiver's acknowledgment → sender's
	}{
		{"nothing", nil, map[seq.Num]seq.Num{0: 0, 7: 7}, map[seq.Num]seq.Num{0: 0, 7: 7}},
		{"put in", []edit{put(10, "abc")},
			map[seq.Num]seq.Num{9: 9, 10: 13, 11: 14},
			map[seq.Num]seq.Num{9: 9, 10: 10, 11: 10, 12: 10, 13: 10, 14: 11}},
		{"taken out", []edit{cut(10, 4)},
			map[seq.Num]seq.Num{9: 9, 10: 10, 11: 10, 13: 10, 14: 10, 15: 11},
			map[seq.Num]seq.Num{9: 9, 10: 14, 11: 15}},
		{"shorter", []edit{swap(10, 4, "xy")},
			map[seq.Num]seq.Num{10: 10, 11: 12, 13: 12, 14: 12, 15: 13},
			map[seq.Num]seq.Num{10: 10, 11: 10, 12: 14, 13: 15}},
		{"longer", []edit{swap(10, 2, "wxyz")},
			map[seq.Num]seq.Num{10: 10, 11: 14, 12: 14, 13: 15},
			map[seq.Num]seq.Num{10: 10, 13: 10, 14: 12, 15: 13}},
		{"two side by side", []edit{cut(10, 2), swap(12, 2, "x")},
			map[seq.Num]seq.Num{10: 10, 12: 10, 13: 11, 14: 11},
			map[seq.Num]seq.Num{9: 9, 10: 12, 11: 14, 12: 15}},
		{"all of a stretch taken out", []edit{cut(10, 2), cut(12, 2)},
			map[seq.Num]seq.Num{12: 10, 14: 10}, map[seq.Num]seq.Num{10: 14}},
		{"put in before what is taken out", []edit{cut(10, 2), put(10, "abc")},
			map[seq.Num]seq.Num{9: 9, 10: 13, 12: 13}, map[seq.Num]seq.Num{12: 10, 13: 12}},
		{"a FIN", []edit{forged(10)},
			map[seq.Num]seq.Num{9: 9, 10: 11}, map[seq.Num]seq.Num{10: 10, 11: 10, 12: 11}},
		{"data and a FIN", []edit{put(10, "ab"), forged(10)},
			map[seq.Num]seq.Num{10: 13}, map[seq.Num]seq.Num{11: 10, 12: 10, 13: 10, 14: 11}},
	}
	for _, tt := range tests {
		for _, base := range bases {
			for _, shift := range []uint32{0, 5, ^uint32(4), 1 << 31} {
				m := build(base, tt.edits...)
				m.Shift(shift)
				for n, want := range tt.to {
					if got := m.ToReceiver(base + n); got != (base + want).Add(shift) {
						t.Errorf("%s: at %d, shift %d: ToReceiver(%d) = %d, want %d", tt.name, base, shift, n, got.Add(-shift)-base, want)
					}
				}
				for n, want := range tt.back {
					if got := m.ToSender((base + n).Add(shift)); got != base+want {
						t.Errorf("%s: at %d, shift %d: ToSender(%d) = %d, want %d", tt.name, base, shift, n, got-base, want)
					}
				}
			}
		}
	}
}

func TestBlock(t *testing.T) {
	tests := []struct {
		name     string
		edit     edit
		from, to seq.Num
		want     [2]seq.Num
	}{
		{"before", swap(10, 4, "xy"), 2, 8, [2]seq.Num{2, 8}},
		{"all of it", swap(10, 4, "xy"), 10, 12, [2]seq.Num{10, 14}},
		{"across", swap(10, 4, "xy"), 9, 13, [2]seq.Num{9, 15}},
		{"its first byte is missing", swap(10, 4, "xy"), 11, 13, [2]seq.Num{14, 15}},
		{"its last byte is missing", swap(10, 4, "xy"), 8, 11, [2]seq.Num{8, 10}},
		{"only a part of it", swap(10, 4, "wxyz"), 11, 13, [2]seq.Num{14, 14}},
		{"of what was put in", put(10, "abcd"), 11, 13, [2]seq.Num{10, 10}},
		{"behind what was put in", put(10, "abcd"), 14, 16, [2]seq.Num{10, 12}},
		{"behind what was taken out", cut(10, 4), 10, 12, [2]seq.Num{14, 16}},
		{"a FIN out of order", forged(10), 10, 11, [2]seq.Num{10, 10}},
	}
	for _, tt := range tests {
		for _, base := range bases {
			got := build(base, tt.edit).Block(seq.Range{From: base + tt.from, To: base + tt.to})
			if want := (seq.Range{From: base + tt.want[0], To: base + tt.want[1]}); got != want {
				t.Errorf("%s: at %d: %d to %d, want %v", tt.name, base, got.From-base, got.To-base, tt.want)
			}
		}
	}
}

// The sender's own FIN takes the place of the forged one if it stands there.
func TestClose(t *testing.T) {
	for _, base := range bases {
		m := build(base, forged(10))
		if m.PutFIN(base + 10) {
			t.Error("a second FIN was put in")
		}
		m.Close(base + 12)
		if at, ok := m.FIN(); !ok || at != base+10 {
			t.Errorf("FIN() = %d, %v after a FIN elsewhere", at-base, ok)
		}
		m.Acked(base + 11)
		if got := m.ToSender(base + 11); got != base+10 {
			t.Errorf("the forged FIN's acknowledgment came out as %d, want 10", got-base)
		}
		m.Close(base + 10)
		if got := m.ToSender(base + 11); got != base+11 || !m.Identity() {
			t.Errorf("the real FIN's acknowledgment came out as %d, want 11", got-base)
		}
	}
}

// What is taken out or replaced is so from the number on that it was given; what is put in
// takes no number.
func TestReplaced(t *testing.T) {
	for _, base := range bases {
		m := build(base, swap(10, 4, "xy"), cut(14, 2), put(20, "abc"), put(10, "z"), forged(30))
		for n := range seq.Num(40) {
			if got, want := m.Replaced(base+n), n == 10 || n == 14; got != want {
				t.Errorf("from %d: %d is replaced: %v", base, n, got)
			}
		}
	}
}

// Edits stand beside each other, not in each other; and there is an end of them.
func TestRefused(t *testing.T) {
	m := build(0, swap(10, 4, "xy"))
	for _, e := range []edit{swap(10, 4, "xy"), cut(13, 1), cut(8, 3), put(12, "x"), put(20, ""), cut(9, 10)} {
		if m.Replace(e.at, e.del, e.with) {
			t.Errorf("%d+%d %q was taken beside 10+4", e.at, e.del, e.with)
		}
	}
	for _, e := range []edit{cut(8, 2), cut(14, 1), put(10, "z"), put(14, "z")} {
		if !m.Replace(e.at, e.del, e.with) {
			t.Errorf("%d+%d %q was refused beside 10+4", e.at, e.del, e.with)
		}
	}
	at := seq.Num(100)
	for ; m.Room() > 0; at += 2 {
		m.Replace(at, 1, "")
	}
	if m.Replace(at, 1, "") || m.PutFIN(at) || len(m.edits) != Most {
		t.Errorf("%d edits, and room for another", len(m.edits))
	}
}
