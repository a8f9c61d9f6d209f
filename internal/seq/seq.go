// Package seq is arithmetic on TCP sequence numbers, which live on a circle of
// 2^32 (RFC 9293, section 3.4). Order means something only between numbers less
// than half the circle apart; ranges are half open.
package seq

// A Num is a TCP sequence or acknowledgment number.
type Num uint32

// Less tells whether n stands before m: m is reached from n in less than half
// the circle. Numbers exactly 2^31 apart each count as before the other, as in
// Linux's before().
func (n Num) Less(m Num) bool { return int32(n-m) < 0 }

// LessEq tells whether n stands before m or is m.
func (n Num) LessEq(m Num) bool { return n == m || n.Less(m) }

// Add moves n forward by size. To move back, add the negative: n.Add(-size)
// with size a uint32.
func (n Num) Add(size uint32) Num { return n + Num(size) }

// Size counts the numbers from n up to, but not including, to.
func (n Num) Size(to Num) uint32 { return uint32(to - n) }

// Max is the later of a and b.
func Max(a, b Num) Num {
	if a.Less(b) {
		return b
	}
	return a
}

// Min is the earlier of a and b.
func Min(a, b Num) Num {
	if b.Less(a) {
		return b
	}
	return a
}

// InRange tells whether n is in [from, to). Unlike Less it is exact for ranges
// of any size up to 2^32-1; [from, from) is empty.
func InRange(n, from, to Num) bool { return from.Size(n) < from.Size(to) }
