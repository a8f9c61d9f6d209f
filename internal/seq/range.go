package seq

// A Range is the numbers from From up to, but not including, To. The zero value
// is empty, and so is each Range whose ends are equal.
type Range struct{ From, To Num }

// RangeOf is the range of size numbers that starts with from.
func RangeOf(from Num, size uint32) Range { return Range{from, from.Add(size)} }

// Len counts the numbers in r.
func (r Range) Len() uint32 { return r.From.Size(r.To) }

// Contains tells whether n is in r.
func (r Range) Contains(n Num) bool { return InRange(n, r.From, r.To) }

// Covers tells whether each number of other is in r; the empty range is covered
// by any.
func (r Range) Covers(other Range) bool {
	ahead := r.From.Size(other.From)
	return other.Len() == 0 || ahead < r.Len() && other.Len() <= r.Len()-ahead
}

// Overlaps tells whether a number is in both. An empty range overlaps nothing.
func (r Range) Overlaps(other Range) bool {
	return other.Len() > 0 && r.Contains(other.From) || r.Len() > 0 && other.Contains(r.From)
}
