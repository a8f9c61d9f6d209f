package conntrack

import (
	"slices"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// maxRanges bounds what is kept of one endpoint's out-of-order queue. A
// receiver acknowledges at once while it has a hole, so whatever we forget
// beyond it comes back as evidence within a round trip.
const maxRanges = 7

// ranges are the out-of-order blocks an endpoint holds, sorted and disjoint.
type ranges struct {
	n    uint8
	held [maxRanges]seq.Range
}

// add puts r in, merging what touches. It reports false if something
// had to be forgotten: the highest block, which is needed last.
func (rs *ranges) add(r seq.Range) bool {
	if r.From == r.To {
		return true
	}
	at := 0
	for at < int(rs.n) && rs.held[at].To.Less(r.From) {
		at++
	}
	end := at
	for end < int(rs.n) && rs.held[end].From.LessEq(r.To) {
		if rs.held[end].From.Less(r.From) {
			r.From = rs.held[end].From
		}
		if r.To.Less(rs.held[end].To) {
			r.To = rs.held[end].To
		}
		end++
	}
	if end > at { // r swallows held[at:end]
		rs.held[at] = r
		copy(rs.held[at+1:], rs.held[end:rs.n])
		rs.n -= uint8(end - at - 1)
		return true
	}
	whole := rs.n < maxRanges
	if at == maxRanges {
		return false
	}
	copy(rs.held[at+1:], rs.held[at:maxRanges-1])
	rs.held[at] = r
	if whole {
		rs.n++
	}
	return whole
}

// advance takes away what lies at or below next and returns where the
// stream without holes ends now.
func (rs *ranges) advance(next seq.Num) seq.Num {
	done := 0
	for done < int(rs.n) && rs.held[done].From.LessEq(next) {
		if next.Less(rs.held[done].To) {
			next = rs.held[done].To
		}
		done++
	}
	copy(rs.held[:], rs.held[done:rs.n])
	rs.n -= uint8(done)
	return next
}

// contain tells whether a number lies in one of the blocks.
func (rs *ranges) contain(n seq.Num) bool {
	return slices.ContainsFunc(rs.held[:rs.n], func(r seq.Range) bool { return r.Contains(n) })
}

// highest is the right edge of the highest block.
func (rs *ranges) highest() (edge seq.Num, ok bool) {
	if rs.n == 0 {
		return 0, false
	}
	return rs.held[rs.n-1].To, true
}
