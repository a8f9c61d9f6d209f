package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Folding: of so many boring rows in a row, the first and the last few are shown.
const (
	foldFrom = 8
	showHead = 2
	showTail = 1
)

// maxLadder is how long a ladder may be; the middle of a longer one is left out.
const maxLadder = 400

// shown is the rows to show: long stretches of boring ones and the middle of too many
// are each one row, which says what it stands for.
func (l *ladder) shown() (rows []row) {
	for i := 0; i < len(l.rows); {
		if n := boringFrom(l.rows[i:]); n >= foldFrom {
			rows = append(rows, foldedRows(l.rows[i:i+n])...)
			i += n
			continue
		}
		rows = append(rows, l.rows[i])
		i++
	}
	if over := len(rows) - maxLadder; over > 0 {
		rows = slices.Replace(rows, maxLadder/2, maxLadder/2+over, omitted(rows[maxLadder/2:maxLadder/2+over]))
	}
	return rows
}

// end is when the last of what a row stands for was.
func (r *row) end() time.Duration {
	if r.left != "" {
		return r.until
	}
	return r.at
}

// boringFrom is how many boring rows stand at the beginning.
func boringFrom(rows []row) (n int) {
	for n < len(rows) && rows[n].boring {
		n++
	}
	return n
}

// foldedRows shows the ends of a stretch of rows, and what is between them in one row.
func foldedRows(rows []row) []row {
	tail := len(rows) - showTail
	folded := row{at: rows[showHead].at, until: rows[tail-1].end(), left: contents(rows[showHead:tail])}
	return slices.Concat(rows[:showHead], []row{folded}, rows[tail:])
}

// contents is "128 data segments, 185344 bytes, 64 ACKs".
func contents(rows []row) string {
	data, bytes, acks := 0, 0, 0
	for _, r := range rows {
		switch {
		case r.arrow.how == late: // counted where it was sent
		case r.arrow.bytes == 0:
			acks++
		default:
			data++
			bytes += r.arrow.bytes
		}
	}
	var parts []string
	if data > 0 {
		parts = append(parts, count(data, "data segment"), count(bytes, "byte"))
	}
	if acks > 0 {
		parts = append(parts, count(acks, "ACK"))
	}
	if parts == nil { // all of it is deliveries
		return count(len(rows), "line")
	}
	return strings.Join(parts, ", ")
}

// count is "1 ACK" or "2 ACKs".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

// omitted stands for rows of any sort. The states that the margins have come to by
// their end stand on it.
func omitted(rows []row) row {
	o := row{at: rows[0].at, until: rows[len(rows)-1].end(), left: count(len(rows), "line")}
	for _, r := range rows {
		for side, s := range r.margins {
			if s != "" {
				o.margins[side] = s
			}
		}
	}
	return o
}
