package lab

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// A sheet is how wide the parts of a ladder's lines are.
type sheet struct {
	times int // of the times, right-aligned
	gap   int // between them and the left margin
	arrow int // between both margins; the box stands in the middle
}

// The sheets: as it is best, and the least that can be read.
var (
	wide   = sheet{times: 9, gap: 2, arrow: 46}
	narrow = sheet{times: 7, gap: 1, arrow: 30}
)

// sheetFor fits rows into so many columns, if it can; 0: as many as it is best. It tells how
// many they need.
func sheetFor(rows []row, columns int) (s sheet, need int) {
	arrow := narrow.arrow
	for i := range rows {
		need = max(need, utf8.RuneCountInString(rows[i].line(wide)))
		arrow = max(arrow, len(rows[i].arrow.label)+len("== ")+len(" ==>"), len(rows[i].left))
	}
	if columns == 0 || need <= columns {
		return wide, need
	}
	s = narrow
	need -= wide.times + wide.gap - narrow.times - narrow.gap
	s.arrow = min(max(wide.arrow-(need-columns), arrow), wide.arrow)
	return s, need - (wide.arrow - s.arrow)
}

// in is the arrow in exactly so many characters.
func (a arrow) in(width int) string {
	if a.label == "" {
		return strings.Repeat(" ", width)
	}
	if a.toLeft {
		return a.leftward(width)
	}
	return a.rightward(width)
}

// rightward draws a segment of the client host.
func (a arrow) rightward(width int) string {
	half := width / 2
	switch a.how {
	case lost:
		return padRight(fill(a.label+" ", half-1, '-')+"x", width)
	case kept:
		return padRight(fill(a.label+" ", half-1, '-')+"~", width)
	case changed:
		return padRight(fill(a.label+" ", half-1, '-')+"*", width)
	case through:
		return fill(a.label+" ", width-1, '-') + ">"
	}
	return padLeft(stroke(a.how)+" "+a.label+" "+stroke(a.how)+">", width)
}

// leftward draws a segment of the server host.
func (a arrow) leftward(width int) string {
	half := width / 2
	switch a.how {
	case lost:
		return padLeft("x"+fillLeft(" "+a.label, half-1, '-'), width)
	case kept:
		return padLeft("~"+fillLeft(" "+a.label, half-1, '-'), width)
	case changed:
		return padLeft("*"+fillLeft(" "+a.label, half-1, '-'), width)
	case through:
		return "<" + fillLeft(" "+a.label, width-1, '-')
	}
	return padRight("<"+stroke(a.how)+" "+a.label+" "+stroke(a.how), width)
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
func (r row) line(on sheet) string {
	at, middle := fmt.Sprintf("%.3f", r.at.Seconds()), r.arrow.in(on.arrow)
	switch {
	case r.left != "":
		at, middle = "...", centred(r.left, on.arrow)
	case r.step != "":
		middle = centred(stepped(r.step), on.arrow)
	}
	return strings.TrimRight(fmt.Sprintf("%*s%*s |%s| %-11s  %s",
		on.times, at, on.gap+11, r.margins[0], middle, r.margins[1], r.note), " ")
}

// stepped is a step as ladders show it: what it is, and no arrow.
func stepped(text string) string { return "-- " + text + " --" }

// centred puts a text in the middle of so many characters.
func centred(text string, width int) string {
	return padRight(strings.Repeat(" ", max((width-len(text))/2, 0))+text, width)
}

// since rounds a duration for reading.
func since(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) }
