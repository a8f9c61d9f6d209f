package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// arrowWidth is the room between both margins; the box stands in the middle.
const arrowWidth = 46

// String is the arrow in exactly arrowWidth characters.
func (a arrow) String() string {
	if a.label == "" {
		return strings.Repeat(" ", arrowWidth)
	}
	text := a.rightward()
	if a.toLeft {
		text = a.leftward()
	}
	return text
}

// rightward draws a segment of the client host.
func (a arrow) rightward() string {
	const half = arrowWidth / 2
	switch a.how {
	case lost:
		return padRight(fill(a.label+" ", half-1, '-')+"x", arrowWidth)
	case kept:
		return padRight(fill(a.label+" ", half-1, '-')+"~", arrowWidth)
	case changed:
		return padRight(fill(a.label+" ", half-1, '-')+"*", arrowWidth)
	case through:
		return fill(a.label+" ", arrowWidth-1, '-') + ">"
	}
	return padLeft(stroke(a.how)+" "+a.label+" "+stroke(a.how)+">", arrowWidth)
}

// leftward draws a segment of the server host.
func (a arrow) leftward() string {
	const half = arrowWidth / 2
	switch a.how {
	case lost:
		return padLeft("x"+fillLeft(" "+a.label, half-1, '-'), arrowWidth)
	case kept:
		return padLeft("~"+fillLeft(" "+a.label, half-1, '-'), arrowWidth)
	case changed:
		return padLeft("*"+fillLeft(" "+a.label, half-1, '-'), arrowWidth)
	case through:
		return "<" + fillLeft(" "+a.label, arrowWidth-1, '-')
	}
	return padRight("<"+stroke(a.how)+" "+a.label+" "+stroke(a.how), arrowWidth)
}

// stroke is what an arrow is drawn with that begins at the box.
func stroke(how fate) string {
	switch how {
	case late:
		return "~~"
	case edited:
		return "**"
	case duplicate:
		return "++"
	}
	return "=="
}

// fill lengthens text to a width with a character, by three of them at least.
func fill(text string, width int, with byte) string {
	return text + strings.Repeat(string(with), max(width-len(text), 3))
}

func fillLeft(text string, width int, with byte) string {
	return strings.Repeat(string(with), max(width-len(text), 3)) + text
}

func padRight(text string, width int) string { return fmt.Sprintf("%-*s", width, text) }
func padLeft(text string, width int) string  { return fmt.Sprintf("%*s", width, text) }

// line is a row as text, without blanks at its end.
func (r row) line() string {
	return strings.TrimRight(fmt.Sprintf("%9.3f  %11s |%s| %-11s  %s",
		r.at.Seconds(), r.margins[0], r.arrow, r.margins[1], r.note), " ")
}

// Folding: of so many boring rows in a row, the first and the last few are shown.
const (
	foldFrom = 8
	showHead = 2
	showTail = 1
)

// maxLadder is how long a ladder may be; the middle of a longer one is left out.
const maxLadder = 400

// lines is the whole ladder.
func (l *ladder) lines() (lines []string) {
	for i := 0; i < len(l.rows); {
		if n := boringFrom(l.rows[i:]); n >= foldFrom {
			lines = append(lines, foldedRows(l.rows[i:i+n])...)
			i += n
			continue
		}
		lines = append(lines, l.rows[i].line())
		i++
	}
	if over := len(lines) - maxLadder; over > 0 {
		lines = slices.Replace(lines, maxLadder/2, maxLadder/2+over, fmt.Sprintf("%9s  %d lines", "...", over))
	}
	return lines
}

// boringFrom is how many boring rows stand at the beginning.
func boringFrom(rows []row) (n int) {
	for n < len(rows) && rows[n].boring {
		n++
	}
	return n
}

// foldedRows shows the ends of a stretch of rows, and what is between them in one line.
func foldedRows(rows []row) (lines []string) {
	for _, r := range rows[:showHead] {
		lines = append(lines, r.line())
	}
	lines = append(lines, folded(rows[showHead:len(rows)-showTail]))
	for _, r := range rows[len(rows)-showTail:] {
		lines = append(lines, r.line())
	}
	return lines
}

// folded is "... 128 data segments, 185344 bytes, 64 acknowledgments".
func folded(rows []row) string {
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
		parts = append(parts, fmt.Sprintf("%d data segments, %d bytes", data, bytes))
	}
	if acks > 0 {
		parts = append(parts, fmt.Sprintf("%d acknowledgments", acks))
	}
	return fmt.Sprintf("%9s  %11s |%s|", "...", "", centred(strings.Join(parts, ", ")))
}

func centred(text string) string {
	return padRight(strings.Repeat(" ", max((arrowWidth-len(text))/2, 0))+text, arrowWidth)
}

// since rounds a duration for reading.
func since(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) }
