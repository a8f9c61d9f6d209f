package lab

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

func drawn(t *testing.T, r *Result) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWriteSVG(t *testing.T) {
	golden(t, "tale.svg", drawn(t, aTale()))
}

func TestWriteSVGOfNothing(t *testing.T) {
	holdsTogether(t, &Result{File: "nothing.toml"})
}

// What comes from files and the wire cannot break the picture.
func TestWriteSVGEscapes(t *testing.T) {
	r := aTale()
	r.Title = `a < b && "c" > 'd' ]]> ` + "\x01\xff é"
	r.Problems = []string{`</text></svg><script>`}
	r.Events[len(r.Events)-1].Rules = []string{"<&>"}
	holdsTogether(t, r)
	if text := string(drawn(t, r)); strings.Contains(text, "<script") || !strings.Contains(text, `a &lt; b &amp;&amp; `) {
		t.Errorf("got %s", text)
	}
}

// Each state that a margin can show has a colour.
func TestStateColors(t *testing.T) {
	for _, name := range append(conntrack.StateNames(), listenName) {
		if stateColors[name] == "" {
			t.Errorf("%s has none", name)
		}
	}
}

// The pictures of what real kernels did: handshakes, losses, holds, forged segments,
// silence, several incarnations.
func TestWriteSVGOfLabs(t *testing.T) {
	for _, name := range []string{"closing-state-hold", "pmtu-blackhole", "rst-one-sided", "stale-dup-next-incarnation"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nstest.NeedTUN(t)
			f, err := Load(filepath.Join("..", "examples", "rules", name+".toml"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := Execute(t.Context(), f, Options{})
			if err != nil {
				t.Fatal(err)
			}
			holdsTogether(t, res)
		})
	}
}

// A shape is an element of a picture, with what this file asks of it.
type shape struct {
	XMLName xml.Name
	Class   string  `xml:"class,attr"`
	X       string  `xml:"x,attr"`
	Y       string  `xml:"y,attr"`
	Y1      string  `xml:"y1,attr"`
	Y2      string  `xml:"y2,attr"`
	Width   string  `xml:"width,attr"`
	Height  string  `xml:"height,attr"`
	Text    string  `xml:",chardata"`
	Inside  []shape `xml:",any"`
}

// holdsTogether checks what is true of every picture: it is XML, everything stands
// inside it, and it shows what the text shows.
func holdsTogether(t *testing.T, r *Result) {
	t.Helper()
	picture := drawn(t, r)
	for d := xml.NewDecoder(bytes.NewReader(picture)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, picture)
		}
	}
	var root shape
	if err := xml.Unmarshal(picture, &root); err != nil {
		t.Fatal(err)
	}
	insideIts(t, &root, number(t, root.Width), number(t, root.Height))
	if tuples := r.tuples(); len(tuples) > 0 {
		showsAll(t, &root, r.ladderOf(r.shown(tuples)).shown())
		slantsRight(t, &root, newPicture(r))
	}
	for _, x := range r.Expectations {
		if !strings.Contains(strings.Join(strings.Fields(allText(&root)), " "), strings.Join(strings.Fields(x.Text), " ")) {
			t.Errorf("the picture lacks the verdict on %q", x.Text)
		}
	}
}

func number(t *testing.T, s string) int {
	t.Helper()
	if s == "" || s == "100%" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Error(err)
	}
	return n
}

// insideIts: nothing is above, left of or below the picture, time runs down, and the
// texts that begin somewhere end before its edge.
func insideIts(t *testing.T, s *shape, width, height int) {
	t.Helper()
	for _, y := range []string{s.Y, s.Y1, s.Y2} {
		if n := number(t, y); n < 0 || n > height {
			t.Errorf("%s %q at %d, the picture is %d high", s.XMLName.Local, s.Text, n, height)
		}
	}
	if number(t, s.Y2) < number(t, s.Y1) && s.Class == "wait" {
		t.Errorf("a segment is delivered before it is sent: from %s to %s", s.Y1, s.Y2)
	}
	if s.Class == "note" && number(t, s.X)+textWidth(s.Text) > width {
		t.Errorf("the note %q is cut off", s.Text)
	}
	for i := range s.Inside {
		insideIts(t, &s.Inside[i], width, height)
	}
}

// showsAll: each row of the text has its arrow and its note, and each change of a state
// its band, in that order. A delivery that follows at once is the end of its arrow.
func showsAll(t *testing.T, root *shape, rows []row) {
	t.Helper()
	var labels, notes, bands []string
	_, begins := deliveries(rows)
	for i, r := range rows {
		if from, ok := begins[i]; r.arrow.label != "" && !(ok && from == i-1) {
			labels = append(labels, r.arrow.label)
		}
		if r.note != "" {
			notes = append(notes, r.note)
		}
	}
	for side := range sideNames {
		for _, r := range rows {
			if r.margins[side] != "" {
				bands = append(bands, stateColors[r.margins[side]])
			}
		}
	}
	same(t, "segments", texts(root, "label"), labels)
	same(t, "notes", texts(root, "note"), notes)
	if got := len(bandsOf(root)); got != len(bands) {
		t.Errorf("%d bands, want %d", got, len(bands))
	}
	for _, b := range bandsOf(root) {
		if number(t, b.Height) < 0 || b.Height == "" {
			t.Errorf("a band of height %q", b.Height)
		}
	}
}

// slantsRight: what was kept goes on from the row in which it was sent to that in which
// it was delivered.
func slantsRight(t *testing.T, root *shape, p *picture) {
	t.Helper()
	drawn := make(map[[2]int]bool)
	for _, g := range root.Inside {
		for _, s := range g.Inside {
			if s.Class == "wait" {
				drawn[[2]int{number(t, s.Y1), number(t, s.Y2)}] = true
			}
		}
	}
	for from, to := range p.ends {
		if !drawn[[2]int{p.y[from], p.y[to]}] || p.y[to] <= p.y[from] {
			t.Errorf("no stroke from row %d to row %d", from, to)
		}
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s\n%q, want\n%q", what, got, want)
	}
}

func bandsOf(s *shape) (all []shape) {
	if s.Class == "band" {
		all = append(all, *s)
	}
	for i := range s.Inside {
		all = append(all, bandsOf(&s.Inside[i])...)
	}
	return all
}

// texts are those of a class, from top to bottom.
func texts(s *shape, class string) (all []string) {
	if s.Class == class {
		all = append(all, s.Text)
	}
	for i := range s.Inside {
		all = append(all, texts(&s.Inside[i], class)...)
	}
	return all
}

func allText(s *shape) string {
	var text strings.Builder
	text.WriteString(s.Text)
	for i := range s.Inside {
		text.WriteString(" " + allText(&s.Inside[i]))
	}
	return text.String()
}

// A kept segment's arrow ends where it was delivered: the first that looks so.
func TestDeliveries(t *testing.T) {
	seg := func(label string, how fate) row { return row{arrow: arrow{label: label, how: how}} }
	back := row{arrow: arrow{label: "a", how: late, toLeft: true}}
	rows := []row{seg("a", kept), seg("b", kept), seg("a", kept), back, seg("a", late), seg("b", late), seg("a", late), seg("c", late)}
	ends, _ := deliveries(rows)
	if len(ends) != 3 || ends[0] != 4 || ends[1] != 5 || ends[2] != 6 {
		t.Errorf("got %v", ends)
	}
}

// What was left out was no silence.
func TestSilenceAfterAFold(t *testing.T) {
	var rows []row
	for i := range foldFrom {
		rows = append(rows, row{at: time.Duration(i) * time.Second, boring: true, arrow: arrow{label: "a", bytes: 1}})
	}
	folded := foldedRows(rows)
	next := folded[len(folded)-1]
	if got := next.at - folded[showHead].end(); got != time.Second {
		t.Errorf("silent for %v after the fold, want 1s", got)
	}
	if got := next.end(); got != next.at {
		t.Errorf("a row at %v ends at %v", next.at, got)
	}
}

// Longer silences take more room, but a minute does not take a page.
func TestSilence(t *testing.T) {
	if silence(time.Millisecond) != 0 || silence(time.Second) <= silence(100*time.Millisecond) || silence(time.Hour) > 150 {
		t.Errorf("got %d, %d, %d", silence(100*time.Millisecond), silence(time.Second), silence(time.Hour))
	}
}

// A line of the footer is broken at a blank, and loses nothing.
func TestWrapped(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"short", "short"},
		{"one two three four", "one two|      three|      four"},
		{"averyveryverylongword", "averyveryverylongword"},
		{"", ""},
	} {
		if got := strings.Join(wrapped(tt.line, 11), "|"); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.line, got, tt.want)
		}
	}
}

// Where rows are left out the margins are what they have come to.
func TestLongLadder(t *testing.T) {
	l := &ladder{acting: map[string]string{}}
	for i := range 2 * maxLadder {
		r := row{at: time.Duration(i) * time.Millisecond, note: "n"}
		if i == maxLadder {
			r.margins[serverSide] = "CLOSE_WAIT"
		}
		l.rows = append(l.rows, r)
	}
	shown := l.shown()
	if middle := shown[maxLadder/2]; len(shown) != maxLadder+1 || middle.left != "400 lines" || middle.margins[serverSide] != "CLOSE_WAIT" {
		t.Errorf("%d rows, in the middle %+v", len(shown), middle)
	}
}
