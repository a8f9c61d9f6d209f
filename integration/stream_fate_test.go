package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
)

// A transmission is one of a piece of a stream: which piece, and the how manieth time. It
// is what the box's dice decide about, whatever came before or in between.
type transmission struct {
	conn     uint64
	from     conntrack.Dir
	seq, len int
	nth      int
}

// A history is what the events tell of the segments of all connections.
type history struct {
	fates map[transmission]string
	first int // transmissions that repeat nothing
	data  [2]int
	// left counts each segment that goes, less each time that one arrives, by what it
	// was told to be: all of it is zero in the end.
	left   map[string]int
	counts map[engine.Verdict]uint64 // of segments that were sent, and of forged ones
	wrong  []string
}

// tellHistory reads the events of a box.
func tellHistory(events []engine.Event) *history {
	h := &history{
		fates: map[transmission]string{}, left: map[string]int{}, counts: map[engine.Verdict]uint64{},
	}
	times := map[transmission]int{}
	var said []string // by the rules, of the segment whose event comes next
	for i := range events {
		e := &events[i]
		switch {
		case e.Type == engine.EventRule:
			said = append(said, e.Rules[0]+" "+e.Action+" "+e.Detail)
			h.copies(e)
		case e.Type == engine.EventDeliver:
			h.left[identity(e, e.Verdict)]--
			said = nil
		case e.Type == engine.EventSegment && e.Verdict == engine.Forged:
			h.counts[engine.Forged]++
			h.left["copies"]--
		case e.Type == engine.EventSegment:
			h.sent(e, said, times)
			said = nil
		}
	}
	return h
}

// copies notes how many a duplicate action has announced.
func (h *history) copies(e *engine.Event) {
	var n int
	if e.Action == "duplicate" {
		if _, err := fmt.Sscanf(e.Detail, "%d after", &n); err != nil {
			h.wrong = append(h.wrong, "a duplicate says "+e.Detail)
		}
		h.left["copies"] += n
	}
}

// identity is what a segment keeps while it waits.
func identity(e *engine.Event, v engine.Verdict) string {
	return fmt.Sprint(v, " of ", e.Conn, " from the ", e.From, " ", e.Flags, " ", e.Seq, ":", e.Len)
}

// sent notes the fate of a segment.
func (h *history) sent(e *engine.Event, said []string, times map[transmission]int) {
	h.counts[e.Verdict]++
	if e.Verdict == engine.Delay || e.Verdict == engine.Hold {
		h.left[identity(e, e.Verdict)]++
	}
	if e.Len == 0 {
		return
	}
	h.data[e.FromSide]++
	place := transmission{conn: e.Conn, from: e.From, seq: int(e.Seq)}
	again := e.Kinds.Has(conntrack.KindRetransmission)
	if again {
		times[place] = max(times[place], 1) // also if its first had other bounds
	} else {
		h.first++
	}
	times[place]++
	t := transmission{e.Conn, e.From, int(e.Seq), e.Len, times[place]}
	if _, twice := h.fates[t]; twice {
		h.wrong = append(h.wrong, fmt.Sprintf("%+v has two fates", t))
	}
	h.fates[t] = fateOf(e, said)
}

// held is the fate of what repeats a held segment: that depends on when it comes.
const held = "held"

// fateOf is what was decided about a segment. What passes but has to keep its order
// behind a delayed one passes.
func fateOf(e *engine.Event, said []string) string {
	if e.Reason == held {
		return held
	}
	verdict := e.Verdict
	if e.Reason == "order" {
		verdict = engine.Pass
	}
	return verdict.String() + " [" + strings.Join(said, ", ") + "]"
}

// isConsistent wants each segment to have one fate, and everything that waits to
// leave, once.
func (h *history) isConsistent(t *testing.T, stats engine.Stats) {
	t.Helper()
	for _, w := range h.wrong {
		t.Error(w)
	}
	wrong := 0
	for what, n := range h.left {
		if n == 0 {
			continue
		}
		if wrong++; wrong < 10 {
			t.Errorf("%s: %d more were sent than left", what, n)
		}
	}
	var sent uint64
	for v := range engine.Forged {
		sent += h.counts[v]
	}
	if sent != stats.Segments {
		t.Errorf("%d segments were sent by the events, %d by the counts", sent, stats.Segments)
	}
	for v, n := range stats.Verdicts {
		if v := engine.Verdict(v); h.counts[v] != n {
			t.Errorf("%v: %d by the events, %d by the counts", v, h.counts[v], n)
		}
	}
}

// remembered is up to which transmission of a place the box always knows the how manieth it
// is. From the third on it may have forgotten the place, of which it remembers a few: one that
// was acknowledged, while a retransmission that nobody needs was under way, or one of many.
const remembered = 2

// agreesWith wants the same fate for whatever two runs have both transmitted, and
// that this is nearly everything that was sent once.
func (h *history) agreesWith(t *testing.T, other *history) {
	t.Helper()
	common, first, wrong := 0, 0, 0
	for place, fate := range h.fates {
		there, ok := other.fates[place]
		if !ok {
			continue
		}
		if place.nth == 1 {
			first++
		}
		if fate == held || there == held {
			continue
		}
		common++
		if fate == there {
			continue
		}
		if place.nth > remembered {
			t.Logf("%+v: %s without super-packets, %s with them", place, fate, there)
			continue
		}
		if wrong++; wrong < 10 {
			t.Errorf("%+v: %s without super-packets, %s with them", place, fate, there)
		}
	}
	if least := max(h.first, other.first) * 9 / 10; first < least {
		t.Errorf("only %d of %d and %d first transmissions have the same bounds, want %d", first, h.first, other.first, least)
	}
	t.Logf("%d and %d transmissions, %d in common, %d of these first ones", len(h.fates), len(other.fates), common, first)
}

// decided counts fates by their first word.
func (h *history) decided() string {
	counts := map[string]int{}
	for _, fate := range h.fates {
		word, _, _ := strings.Cut(fate, " ")
		counts[word]++
	}
	var text []string
	for word, n := range counts {
		text = append(text, fmt.Sprint(word, " ", n))
	}
	slices.Sort(text)
	return strings.Join(text, ", ")
}
