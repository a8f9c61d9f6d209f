package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// rewriteFault edits headers. What it takes from a segment, a FIN or the end of its
// payload, its receiver has not got, and so it comes again. A shift goes on for the
// connection's life, both ways: the direction's numbers move, and what the
// other one says of them moves back.
type rewriteFault struct {
	Window         *uint16        `rule:"window" doc:"the window field, unscaled"`
	TTL            *uint8         `rule:"ttl" doc:"time to live, hop limit" min:"1"`
	MSS            *uint16        `rule:"mss" doc:"the value of an MSS option, if there is one" min:"1"`
	Strip          []rules.Option `rule:"strip" doc:"TCP options, by name or number, in whose place NOPs are put"`
	Clear          rules.Flags    `rule:"clear" doc:"flags to clear, letters of FSRPAUEC"`
	Set            rules.Flags    `rule:"set" doc:"flags to set"`
	Truncate       *uint16        `rule:"truncate" doc:"payload bytes that are left; a FIN behind the cut goes, too"`
	TruncateAt     *int64         `rule:"truncate_at" doc:"the same, by the place in the direction's stream that the payload ends before"`
	ShiftSeq       int32          `rule:"shift_seq" doc:"added to the sequence numbers of the direction from the first segment on that the rule fires on" min:"-2147483648"`
	ShiftTimestamp int32          `rule:"shift_timestamp" doc:"the same for its timestamps" min:"-2147483648"`
}

var _ = register("rewrite", "edit headers; checksums are kept right", onward, func() Fault { return new(rewriteFault) })

// Check refuses an edit of nothing, and a flag that is set and cleared.
func (f *rewriteFault) Check() []rules.Problem {
	switch {
	case f.Set&f.Clear != 0:
		return []rules.Problem{{Key: "set", Other: "clear", Err: fmt.Sprintf("%s cannot be both set and cleared", f.Set&f.Clear)}}
	case f.mods() == mods{} && f.TruncateAt == nil && f.ShiftSeq == 0 && f.ShiftTimestamp == 0:
		return []rules.Problem{{Err: "it edits nothing; say what, for example window = 0"}}
	}
	return nil
}

func (f *rewriteFault) Apply(j *Journey) {
	if j.Kinds.Has(conntrack.KindICMP) {
		return
	}
	j.mods.add(f.mods())
	f.cut(j)
	f.shift(j)
	j.tell("rewrite", f.String)
}

// mods are the edits of the segment itself.
func (f *rewriteFault) mods() (m mods) {
	m.set, m.clear = wire.Flags(f.Set), wire.Flags(f.Clear)
	for _, o := range f.Strip {
		m.strip.Add(uint8(o))
	}
	if f.Window != nil {
		m.window, m.hasWindow = *f.Window, true
	}
	if f.Truncate != nil {
		m.keep, m.truncated = *f.Truncate, true
	}
	if f.TTL != nil {
		m.ttl = *f.TTL
	}
	if f.MSS != nil {
		m.mss = *f.MSS
	}
	return m
}

// add adds further edits; of two that exclude each other the later one counts.
func (m *mods) add(more mods) {
	m.set, m.clear = m.set&^more.clear|more.set, m.clear&^more.set|more.clear
	for i := range m.strip {
		m.strip[i] |= more.strip[i]
	}
	if more.hasWindow {
		m.window, m.hasWindow = more.window, true
	}
	if more.truncated {
		m.keep, m.truncated = more.keep, true
	}
	if more.ttl > 0 {
		m.ttl = more.ttl
	}
	if more.mss > 0 {
		m.mss = more.mss
	}
}

// cut truncates the segment where the stream is to end.
func (f *rewriteFault) cut(j *Journey) {
	if f.TruncateAt == nil || j.offset() == nowhere {
		return
	}
	if left := *f.TruncateAt - j.offset(); left < int64(j.Seg.Len) {
		j.mods.add(mods{keep: uint16(max(left, 0)), truncated: true})
	}
}

// shift moves the direction's numbers, unless the rule has done so already.
func (f *rewriteFault) shift(j *Journey) {
	if f.ShiftSeq != 0 && j.first(false) {
		j.box.translationOf(j.Conn).maps[j.Dir].Shift(uint32(f.ShiftSeq))
		if j.Seg.Flags.Has(wire.SYN) {
			j.Conn.Shift(j.Dir, uint32(f.ShiftSeq))
		} else {
			j.Conn.Edited(j.Dir)
		}
	}
	if f.ShiftTimestamp != 0 && j.first(true) {
		j.box.translationOf(j.Conn).stamps[j.Dir] += uint32(f.ShiftTimestamp)
	}
}

// first tells whether the rule shifts the direction for the first time, and notes it.
func (j *Journey) first(stamp bool) bool {
	t := j.box.translationOf(j.Conn)
	m := moved{j.rule.Name, j.Dir, stamp}
	if slices.Contains(t.moved, m) {
		return false
	}
	t.moved = append(t.moved, m)
	return true
}

// String lists the edits.
func (f *rewriteFault) String() string {
	var words []string
	add := func(format string, v any) { words = append(words, fmt.Sprintf(format, v)) }
	if f.Window != nil {
		add("window %d", *f.Window)
	}
	if f.TTL != nil {
		add("ttl %d", *f.TTL)
	}
	if f.MSS != nil {
		add("mss %d", *f.MSS)
	}
	for _, o := range f.Strip {
		add("without %v", o)
	}
	if f.Clear != 0 {
		add("clear %v", f.Clear)
	}
	if f.Set != 0 {
		add("set %v", f.Set)
	}
	if f.Truncate != nil {
		add("cut to %d bytes", *f.Truncate)
	}
	if f.TruncateAt != nil {
		add("cut at byte %d of the stream", *f.TruncateAt)
	}
	if f.ShiftSeq != 0 {
		add("numbers by %+d", f.ShiftSeq)
	}
	if f.ShiftTimestamp != 0 {
		add("timestamps by %+d", f.ShiftTimestamp)
	}
	return strings.Join(words, ", ")
}
