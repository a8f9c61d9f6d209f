package remap

import "github.com/tcpmangle/tcpmangle/internal/seq"

// Plain tells whether a stretch of the sender's numbers lies outside all edits, so
// that its bytes reach the receiver as they are, all moved by the same.
func (m *Map) Plain(r seq.Range) bool {
	i := m.from(r.From)
	if i > 0 && r.From.Less(m.edits[i-1].end()) {
		return false
	}
	for ; i < len(m.edits) && m.edits[i].at.Less(r.To); i++ {
		if e := &m.edits[i]; !e.fin() || e.at != r.From {
			return false
		}
	}
	return true
}

// Edit appends to dst what of a segment reaches the receiver, with the edits done, and
// tells under which number it begins there. The segment has payload from its number r.From
// on, and fills r with it and perhaps a FIN. At a FIN that was put in the segment
// is cut short: what lies behind it has to come in one of its own.
func (m *Map) Edit(dst []byte, r seq.Range, payload []byte) (start seq.Num, edited []byte, short bool) {
	rest := func(n seq.Num) []byte { return payload[min(int(r.From.Size(n)), len(payload)):] }
	at, i := r.From, m.from(r.From)
	start = at.Add(m.before(i))
	if i > 0 && at.Less(m.edits[i-1].end()) { // begins inside of what was taken out
		e := &m.edits[i-1]
		at, start = seq.Min(e.end(), r.To), e.last()
	}
	size := len(dst)
	for ; i < len(m.edits) && m.edits[i].at.Less(r.To); i++ {
		e := &m.edits[i]
		dst = append(dst, rest(at)[:min(int(at.Size(e.at)), len(rest(at)))]...)
		switch {
		case e.fin() && len(dst) == size:
			start = start.Add(1)
		case e.fin():
			return start, dst, true
		}
		dst = append(dst, e.with...)
		at = seq.Min(e.end(), r.To)
	}
	return start, append(dst, rest(at)...), false
}
