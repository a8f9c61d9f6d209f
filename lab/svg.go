package lab

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// WriteSVG writes the result as a picture: the ladder that WriteText draws in
// characters, title above, verdicts below. Time runs down, and order and slant are
// true: a segment starts where it was sent and ends where it was delivered, so what was
// delayed slants. Silence is compressed. The picture follows the reader's choice of a
// light or dark scheme and refers to nothing outside it.
func (r *Result) WriteSVG(w io.Writer) error {
	p := newPicture(r)
	p.header(r)
	p.bands()
	p.silences()
	for i := range p.rows {
		p.row(i)
	}
	p.footer(r)
	_, err := io.WriteString(w, p.document())
	return err
}

// Places in the picture, in pixels. A margin's line is where its band meets the arrows.
const (
	svgTimes  = 64 // right end of the times
	svgLeft   = 176
	svgBox    = 416
	svgRight  = 656
	svgBand   = 12  // width of a band
	svgNotes  = 768 // left end of the notes
	svgWidth  = 1080
	svgTop    = 104 // of the first row
	svgRow    = 26  // height of a row
	svgLine   = 16  // height of a line of text
	svgEdge   = 16
	svgLetter = 6.7 // width of a character
)

// A picture is what WriteSVG gathers: the rows' places first, then the elements.
type picture struct {
	strings.Builder
	rows   []row
	y      []int       // of each row
	ends   map[int]int // the row that delivers what a row's segment was kept for
	begins map[int]int // the same from its other end
	width  int
	bottom int // of all rows; of the whole picture once the footer is drawn
}

func newPicture(r *Result) *picture {
	p := &picture{width: svgWidth}
	if tuples := r.tuples(); len(tuples) > 0 {
		p.rows = r.ladderOf(r.shown(tuples)).shown()
	}
	p.place()
	p.ends, p.begins = deliveries(p.rows)
	return p
}

// place gives each row its height on the page. Rows keep a distance from one another
// however close in time they are.
func (p *picture) place() {
	y, before := svgTop, time.Duration(0)
	for i, r := range p.rows {
		if i > 0 {
			y += svgRow + silence(r.at-before)
		}
		p.y, before = append(p.y, y), r.end()
		p.width = max(p.width, svgNotes+textWidth(r.note)+svgEdge)
	}
	p.bottom = y + svgRow
}

// shortSilence is what needs no room of its own.
const shortSilence = 50 * time.Millisecond

// silence is the room that a time without a segment takes: more for a longer one, but
// by its logarithm.
func silence(d time.Duration) int {
	if d < shortSilence {
		return 0
	}
	return svgRow/2 + int(6*math.Log2(float64(d)/float64(shortSilence)))
}

func textWidth(s string) int { return int(float64(len([]rune(s))) * svgLetter) }

// deliveries finds the row in which a kept segment leaves the box, and the other way
// round. Of several that look the same the first one goes first.
func deliveries(rows []row) (ends, begins map[int]int) {
	ends, begins = make(map[int]int), make(map[int]int)
	type look struct {
		label  string
		toLeft bool
	}
	waiting := make(map[look][]int)
	for i, r := range rows {
		of := look{r.arrow.label, r.arrow.toLeft}
		switch queue := waiting[of]; {
		case r.arrow.how == kept:
			waiting[of] = append(queue, i)
		case r.arrow.how == late && len(queue) > 0:
			ends[queue[0]], begins[i] = i, queue[0]
			waiting[of] = queue[1:]
		}
	}
	return ends, begins
}

// header is the title, and who stands on which side.
func (p *picture) header(r *Result) {
	p.text("title", svgEdge, 28, "start", r.heading())
	p.text("faint", svgEdge, 48, "start", legend)
	tuples := r.tuples()
	if len(tuples) == 0 {
		p.text("ink", svgEdge, svgTop, "start", noConnection)
		return
	}
	shown := r.shown(tuples)
	p.text("head", svgLeft, svgTop-24, "middle", "client "+shown[clientSide].String())
	p.text("head", svgBox, svgTop-24, "middle", "box")
	p.text("head", svgRight, svgTop-24, "middle", "server "+shown[serverSide].String())
	p.printf(`<line class="box" x1="%d" y1="%d" x2="%d" y2="%d"/>`, svgBox, svgTop-16, svgBox, p.bottom)
}

// legend says what the strokes mean.
const legend = "x dropped   - - waits in the box   o begins in the box: forged, a copy, or (filled) edited"

// silences write how long nothing happened.
func (p *picture) silences() {
	for i := 1; i < len(p.rows); i++ {
		if d := p.rows[i].at - p.rows[i-1].end(); d >= shortSilence {
			p.text("faint", svgTimes, (p.y[i-1]+p.y[i])/2+4, "end", "+"+since(d))
		}
	}
}

// row draws all of one line but the bands.
func (p *picture) row(i int) {
	r, y := p.rows[i], p.y[i]
	if r.left != "" {
		p.text("faint", svgBox, y+4, "middle", r.left)
		return
	}
	p.text("faint", svgTimes, y+4, "end", fmt.Sprintf("%.3f", r.at.Seconds()))
	switch {
	case r.step != "":
		p.text("step", svgBox, y+4, "middle", stepped(r.step))
	case r.arrow.label != "":
		p.segment(i)
	}
	p.text("note", svgNotes, y+4, "start", r.note)
}

// footer is what WriteText writes below the ladder.
func (p *picture) footer(r *Result) {
	y := p.bottom + svgRow
	most := int(float64(p.width-2*svgEdge) / svgLetter)
	for line := range strings.Lines(r.belowLadder()) {
		for _, part := range wrapped(strings.TrimSuffix(line, "\n"), most) {
			p.text(verdictClass(part), svgEdge, y, "start", part)
			y += svgLine
		}
	}
	p.bottom = y
}

// belowLadder is that as text.
func (r *Result) belowLadder() string {
	var t text
	if tuples := r.tuples(); len(tuples) > 0 {
		t.aside(r, tuples, r.shown(tuples))
	}
	t.verdicts(r)
	return t.String()
}

// verdictClass makes verdicts stand out.
func verdictClass(line string) string {
	switch {
	case strings.HasPrefix(line, "PASS"):
		return "pass"
	case strings.HasPrefix(line, "FAIL"):
		return "fail"
	}
	return "ink"
}

// wrapped breaks a line at blanks into parts of so many characters at most; those after
// the first are indented. A longer word stays whole.
func wrapped(line string, most int) (parts []string) {
	const indent = "      "
	for len(line) > most {
		at := strings.LastIndexByte(line[:most+1], ' ')
		if strings.TrimSpace(line[:max(at, 0)]) == "" {
			break
		}
		parts = append(parts, line[:at])
		line = indent + strings.TrimLeft(line[at:], " ")
	}
	return append(parts, line)
}
