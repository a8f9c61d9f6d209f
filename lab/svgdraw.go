package lab

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// stateColors are those of the bands, readable on white and on black. What lasts in
// health is green and blue, what waits for the peer is warm, what waits for the
// application is red.
var stateColors = map[string]string{
	listenName:                     "#b6c2cf",
	conntrack.Closed.String():      "#8c959f",
	conntrack.SynSent.String():     "#d4b106",
	conntrack.SynRcvd.String():     "#e0a82e",
	conntrack.Established.String(): "#2da44e",
	conntrack.FinWait1.String():    "#f08c2e",
	conntrack.FinWait2.String():    "#d9730d",
	conntrack.CloseWait.String():   "#e5484d",
	conntrack.Closing.String():     "#a855f7",
	conntrack.LastAck.String():     "#d6409f",
	conntrack.TimeWait.String():    "#3e8fd9",
}

// fateClasses name the style of each fate.
var fateClasses = [...]string{
	through: "through", kept: "kept", changed: "changed", late: "late",
	edited: "edited", lost: "lost", forged: "forged", duplicate: "copied",
}

// style holds for both schemes; the media query changes what depends on the ground.
const style = `text{white-space:pre;fill:#24292f}
.bg{fill:#fff}.title{font-size:15px;font-weight:bold}.head{font-weight:bold}
.faint{fill:#6e7781}.note,.step{fill:#8250df}.pass{fill:#1a7f37}.fail{fill:#cf222e}
.box{stroke:#afb8c1;stroke-dasharray:2 4}
.seg line{stroke-width:1.4}.seg text{stroke:#fff;stroke-width:3px;paint-order:stroke;fill:#24292f}
.seg{stroke:#57606a;fill:#57606a}.kept,.late{stroke:#bc6c00;fill:#bc6c00}.wait{stroke-dasharray:6 4}
.lost,.forged{stroke:#cf222e;fill:#cf222e}.changed,.edited{stroke:#8250df;fill:#8250df}
.copied{stroke:#0969da;fill:#0969da}.ring{fill:#fff}
@media (prefers-color-scheme:dark){text,.seg text{fill:#e6edf3}.bg,.ring{fill:#0d1117}.seg text{stroke:#0d1117}
.faint{fill:#8b949e}.note,.step{fill:#d2a8ff}.pass{fill:#3fb950}.fail{fill:#ff7b72}.box{stroke:#484f58}
.seg{stroke:#9ea7b3;fill:#9ea7b3}.kept,.late{stroke:#e3a13b;fill:#e3a13b}
.lost,.forged{stroke:#ff7b72;fill:#ff7b72}.changed,.edited{stroke:#d2a8ff;fill:#d2a8ff}.copied{stroke:#79c0ff;fill:#79c0ff}}
`

// document is the whole file.
func (p *picture) document() string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" `+
		`font-family="ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="11" xml:space="preserve">
<style>%s</style>
<rect class="bg" width="100%%" height="100%%"/>
%s</svg>
`, p.width, p.bottom, p.width, p.bottom, style, p.String())
}

// printf writes an element of which no part comes from outside.
func (p *picture) printf(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// text writes any text; anchor is start, middle or end.
func (p *picture) text(class string, x, y int, anchor, s string) {
	if s == "" {
		return
	}
	fmt.Fprintf(p, `<text class="%s" x="%d" y="%d" text-anchor="%s">`, class, x, y, anchor)
	_ = xml.EscapeText(p, []byte(s)) // a Builder refuses nothing
	p.WriteString("</text>\n")
}

// bands are the endpoints' states from change to change, each with its name.
func (p *picture) bands() {
	for side := range sideNames {
		state, from := "", 0
		for i, r := range p.rows {
			if r.margins[side] == "" {
				continue
			}
			p.band(side, state, from, p.y[i])
			state, from = r.margins[side], p.y[i]
		}
		p.band(side, state, from, p.bottom)
	}
}

func (p *picture) band(side int, state string, from, to int) {
	if state == "" {
		return
	}
	x, at, anchor := svgLeft-svgBand, svgLeft-svgBand-6, "end"
	if side == serverSide {
		x, at, anchor = svgRight, svgRight+svgBand+6, "start"
	}
	p.printf(`<rect class="band" x="%d" y="%d" width="%d" height="%d" fill="%s"/>`, x, from, svgBand, to-from, stateColors[state])
	p.text("ink", at, from+4, anchor, state)
}

// segment draws what happens to a row's segment.
func (p *picture) segment(i int) {
	a, y := p.rows[i].arrow, p.y[i]
	from, to := svgLeft, svgRight
	if a.toLeft {
		from, to = to, from
	}
	begun, delivered := p.begins[i]
	if delivered && i-begun == 1 {
		return // its arrow ends here, just below its label
	}
	p.printf(`<g class="seg %s">`, fateClasses[a.how])
	switch a.how {
	case through:
		p.arrow("", from, y, to, y)
	case kept:
		p.line("", from, y, svgBox, y)
		p.waits(i, to)
	case changed:
		p.line("", from, y, svgBox, y)
		p.printf(`<circle cx="%d" cy="%d" r="4"/>`, svgBox, y)
	case lost:
		p.line("", from, y, svgBox, y)
		p.cross(svgBox, y)
	case late:
		if !delivered {
			p.arrow("wait", svgBox, y, to, y)
		}
	case edited:
		p.arrow("", svgBox, y, to, y)
		p.printf(`<circle cx="%d" cy="%d" r="4"/>`, svgBox, y)
	case forged, duplicate:
		p.arrow("", svgBox, y, to, y)
		p.printf(`<circle class="ring" cx="%d" cy="%d" r="4"/>`, svgBox, y)
	}
	p.label(a, delivered, from, to, y)
	p.WriteString("</g>\n")
}

// waits draws the way of a kept segment on from the box, which it may never leave.
func (p *picture) waits(i, to int) {
	y := p.y[i]
	if end, ok := p.ends[i]; ok {
		p.arrow("wait", svgBox, y, to, p.y[end])
		return
	}
	p.line("wait", svgBox, y, svgBox, y+svgRow-6)
}

// label writes flags and numbers above a segment's beginning, or above its end where
// they do not fit between the box and the margin; of one that was delivered long after,
// below its end too: its line comes from above.
func (p *picture) label(a arrow, delivered bool, from, to, y int) {
	x, above := from, 4
	switch {
	case delivered:
		x, above = to, -12
	case a.how == through, a.how == kept, a.how == changed, a.how == lost:
	case textWidth(a.label) < svgRight-svgBox-20:
		x = svgBox
	default:
		x = to
	}
	anchor, off := "start", 8
	if x == svgRight || a.toLeft && x == svgBox {
		anchor, off = "end", -8
	}
	p.text("label", x+off, y-above, anchor, a.label)
}

// line is a stroke; dashed if it is of the class wait, which may be empty.
func (p *picture) line(class string, x1, y1, x2, y2 int) {
	if class != "" {
		class = fmt.Sprintf(`class="%s" `, class)
	}
	p.printf(`<line %sx1="%d" y1="%d" x2="%d" y2="%d"/>`, class, x1, y1, x2, y2)
}

// arrow is a line with a head at its end.
func (p *picture) arrow(class string, x1, y1, x2, y2 int) {
	p.line(class, x1, y1, x2, y2)
	dx, dy := float64(x2-x1), float64(y2-y1)
	n := math.Hypot(dx, dy)
	dx, dy = dx/n, dy/n
	var points strings.Builder
	for _, c := range [3][2]float64{{0, 0}, {-9, -4}, {-9, 4}} { // along the line, across it
		fmt.Fprintf(&points, " %.1f,%.1f", float64(x2)+c[0]*dx-c[1]*dy, float64(y2)+c[0]*dy+c[1]*dx)
	}
	p.printf(`<polygon points="%s"/>`, points.String()[1:])
}

func (p *picture) cross(x, y int) {
	const arm = 6
	p.line("", x-arm, y-arm, x+arm, y+arm)
	p.line("", x-arm, y+arm, x+arm, y-arm)
}
