package engine

import (
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A train is the segments of a super-packet but its last one, where they are alike for
// the rules and the connection. Most rules on a busy flow wait for a segment that is not
// among them: for a FIN, or for the ten thousandth. One look at the first then stands for
// all, and the counts move on by as many: the result is that of looking at each.
//
// Whoever listens is told of each segment; then there are no trains.

// train lets a train leave with the run in hand, if the packet begins with one. It
// returns how many segments that are, from the first on, which is the one in hand.
func (b *Box) train(c *conntrack.Conn, d conntrack.Dir, f *flow) int {
	p := &b.packet
	n := p.Segments() - 1
	if n < 2 || b.listened() || !f.atRest() || f.order[d] > b.now {
		return 0
	}
	size := uint32(n) * b.seg.Len
	kinds, ok := c.Steady(d, &b.seg, size)
	if !ok {
		return 0
	}
	j := &b.journey
	*j = Journey{Now: b.now, Conn: c, Dir: d, Seg: &b.seg, Kinds: kinds, box: b, flow: f, packet: p, fired: j.fired[:0]}
	for i := range f.rules {
		if _, ok := f.rules[i].misses(j, n); !ok {
			return 0
		}
	}
	for i := range f.rules {
		f.rules[i].spare(j, n)
	}
	b.leaveTrain(j, n, size)
	return n
}

// listened tells whether anybody is told of segments one by one.
func (b *Box) listened() bool { return b.toldOfSegments() || b.cfg.Tap != nil || b.cfg.OnLook != nil }

// leaveTrain does what Box.segment does for each segment that passes.
func (b *Box) leaveTrain(j *Journey, n int, size uint32) {
	b.seg.Len = size
	b.stats.Segments += uint64(n)
	b.stats.Verdicts[Pass] += uint64(n)
	b.stats.AtOnce += uint64(n)
	b.table.SentOn(b.now, j.Conn, j.Dir, &b.seg)
	j.flow.streams[j.Dir].note(j.Conn.End(j.Dir))
	b.run = run{to: n, conn: j.Conn, dir: j.Dir}
	b.table.Delivered(b.now, j.Conn, j.Dir, &b.seg)
}

// misses tells whether the rule fires on none of n segments that are like the one in
// hand, and what they miss; ok is false if that cannot be told at once.
func (c *candidate) misses(j *Journey, n int) (m nearMiss, ok bool) {
	if m := &c.Match; m.Offset != nil || m.Idle != nil || m.Payload != nil || m.PayloadHex != nil {
		return nearMiss{}, false // they tell the segments apart
	}
	times := uint64(n)
	if failed, saw := c.match(j); failed != nothing {
		return nearMiss{failed, saw, times}, true
	}
	since := j.Now - c.loaded
	before := int64(c.matched[j.Dir])
	last := before + int64(n)
	switch {
	case since < c.After || c.For > 0 && since >= c.After+c.For:
		return nearMiss{byWindow, int64(since), times}, true
	case c.Nth != nil:
		return nearMiss{byNth, last, times}, !meet(c.Nth, before+1, last)
	case c.Every > 0:
		return nearMiss{byEvery, last, times}, before/int64(c.Every) == last/int64(c.Every)
	case c.Count > 0:
		return nearMiss{byCount, int64(c.fired), times}, c.rule.countReached(c.fired)
	}
	return nearMiss{}, false
}

// spare notes that the rule has looked at n segments, and fired on none.
func (c *candidate) spare(j *Journey, n int) {
	m, _ := c.misses(j, n)
	c.closest.add(m)
	if m.failed > byWindow {
		c.matched[j.Dir] += uint32(n)
	}
}

// meet tells whether a number from first to last is in one of the ranges.
func meet(rs rules.Ranges, first, last int64) bool {
	for _, r := range rs {
		if r.Lo <= last && first <= r.Hi {
			return true
		}
	}
	return false
}
