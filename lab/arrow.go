package lab

import (
	"fmt"
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
	at, middle := fmt.Sprintf("%.3f", r.at.Seconds()), r.arrow.String()
	if r.left != "" {
		at, middle = "...", centred(r.left)
	}
	return strings.TrimRight(fmt.Sprintf("%9s  %11s |%s| %-11s  %s",
		at, r.margins[0], middle, r.margins[1], r.note), " ")
}

// lines is the whole ladder.
func (l *ladder) lines() (lines []string) {
	for _, r := range l.shown() {
		lines = append(lines, r.line())
	}
	return lines
}

// centred puts a text in the middle of arrowWidth characters.
func centred(text string) string {
	return padRight(strings.Repeat(" ", max((arrowWidth-len(text))/2, 0))+text, arrowWidth)
}

// since rounds a duration for reading.
func since(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) }
