package lab

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/engine"
)

// WriteText writes the result for people: the ladder of the connection that the
// expectations were about, each expectation with PASS or FAIL, what failed besides,
// the rules with their counts, and the agreement.
func (r *Result) WriteText(w io.Writer, color bool) error {
	return r.WriteTerminal(w, Terminal{Color: color})
}

// A Terminal is where a text is shown.
type Terminal struct {
	Color   bool
	Columns int // how wide it is; 0: as wide as need be
}

// WriteTerminal is WriteText with a ladder that fits the terminal, or else says that it does not.
func (r *Result) WriteTerminal(w io.Writer, on Terminal) error {
	t := text{Terminal: on}
	t.line("%s", r.heading())
	t.line("")
	t.ladders(r)
	t.verdicts(r)
	_, err := io.WriteString(w, t.String())
	return err
}

// A text is what WriteText gathers.
type text struct {
	strings.Builder
	Terminal
}

// The colours of a terminal.
const (
	green  = "\x1b[32m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	faint  = "\x1b[2m"
	plain  = "\x1b[0m"
)

func (t *text) line(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

// in is a text in a colour, where colours are wanted.
func (t *text) in(color, s string) string {
	if !t.Color || color == "" || s == "" {
		return s
	}
	return color + s + plain
}

// heading is "close.toml: A lost FIN".
func (r *Result) heading() string {
	if r.Title == "" {
		return r.File
	}
	return r.File + ": " + r.Title
}

// verdicts is everything below the ladder.
func (t *text) verdicts(r *Result) {
	t.expectations(r)
	t.rules(r)
	t.agreement(r)
	t.summary(r)
}

const noConnection = "no connection came by"

// ladders draws the connection that matters, and counts the others.
func (t *text) ladders(r *Result) {
	tuples := r.tuples()
	if len(tuples) == 0 {
		t.line(noConnection)
		t.line("")
		return
	}
	shown := r.shown(tuples)
	rows := r.ladderOf(shown).shown()
	on, need := sheetFor(rows, t.Columns)
	left, right := "client "+shown[0].String(), "server "+shown[1].String()
	t.line("%*s  %-*s%s", on.times+on.gap+11, "", max(on.arrow+2-len(right), len(left)+2), left, right)
	for _, row := range rows {
		t.line("%s", t.in(row.color(), row.line(on)))
	}
	t.aside(r, tuples, shown)
	if t.Columns > 0 && need > t.Columns {
		t.line("notice: the ladder needs %d columns, this terminal has %d; --svg FILE draws it", need, t.Columns)
		t.line("")
	}
}

// aside tells what is not drawn.
func (t *text) aside(r *Result, tuples []tuple, shown tuple) {
	if r.UnkeptEvents > 0 {
		t.line("%9s  %d more events", "...", r.UnkeptEvents)
	}
	t.others(r, tuples, shown)
	t.line("")
}

// color makes the box's work stand out.
func (r *row) color() string {
	switch r.arrow.how {
	case lost:
		return red
	case kept, late, forged, duplicate:
		return yellow
	}
	return ""
}

// others counts the connections that are not drawn by their last states.
func (t *text) others(r *Result, tuples []tuple, shown tuple) {
	last := r.lastStates()
	count := map[[2]string]int{}
	var order [][2]string
	for _, other := range tuples {
		if other == shown {
			continue
		}
		s := last[other]
		if count[s]++; count[s] == 1 {
			order = append(order, s)
		}
	}
	for _, s := range order {
		t.line("%9s  %d more in the end: client %s, server %s", "...", count[s], s[0], s[1])
	}
}

// tuples lists the connections' 4-tuples in the order in which they were opened.
func (r *Result) tuples() (all []tuple) {
	seen := map[tuple]bool{}
	for i := range r.Events {
		if e := &r.Events[i]; e.Type == engine.EventOpen {
			if t := tupleOf(e); !seen[t] {
				seen[t] = true
				all = append(all, t)
			}
		}
	}
	return all
}

// shown is the tuple to draw: that which an expectation was decided on, else the first
// that a rule has fired on, else the first.
func (r *Result) shown(tuples []tuple) tuple {
	if r.talked != nil && slices.Contains(tuples, *r.talked) {
		return *r.talked
	}
	for i := range r.Events {
		if e := &r.Events[i]; e.Conn != 0 && len(e.Rules) > 0 {
			return tupleOf(e)
		}
	}
	return tuples[0]
}

// lastStates is what each tuple was in at last.
func (r *Result) lastStates() map[tuple][2]string {
	last := map[tuple][2]string{}
	for i := range r.Events {
		if e := &r.Events[i]; e.Conn != 0 {
			last[tupleOf(e)] = margins(e)
		}
	}
	return last
}

// tupleOf is the tuple of an event's connection.
func tupleOf(e *engine.Event) tuple {
	t := tuple{e.Client, e.Server}
	if swapped(e) != 0 {
		slices.Reverse(t[:])
	}
	return t
}

func (t *text) expectations(r *Result) {
	for _, x := range r.Expectations {
		switch {
		case x.OK:
			t.line("%s  %s  (at %s)", t.in(green, "PASS"), x.Text, since(x.At))
			continue
		case x.Open:
			t.line("%s  %s", t.in(yellow, "OPEN"), x.Text)
		default:
			t.line("%s  %s", t.in(red, "FAIL"), x.Text)
		}
		if x.Why != "" {
			t.line("      %s", x.Why)
		}
	}
	for _, p := range r.Problems {
		t.line("%s  %s", t.in(red, "FAIL"), p)
	}
	if r.Interrupted {
		t.line("interrupted: what is OPEN was not decided by then")
	}
	t.line("")
}

func (t *text) rules(r *Result) {
	width := 0
	for _, rule := range r.Rules {
		width = max(width, len(rule.Name))
	}
	for _, rule := range r.Rules {
		note := ""
		switch {
		case rule.Fired > 0:
		case !rule.Enabled:
			note = "  (asleep)"
		case rule.Optional:
			note = "  (optional)"
		}
		t.line("rule  %-*s  fired %d%s", width, rule.Name, rule.Fired, note)
	}
}

func (t *text) agreement(r *Result) {
	a := r.Agreement
	if a.Compared == 0 {
		t.line("states: none to compare")
		return
	}
	t.line("states: inferred and kernel's agree in %d of %d samples, longest difference %s", a.Agreed, a.Compared, ms(a.Longest))
	for _, line := range slices.Concat(likes(a.Differences, Difference.kind), likes(a.Refused, Refusal.kind), likes(a.Silent, SilentEnd.kind)) {
		t.line("        %s", line)
	}
}

func (t *text) summary(r *Result) {
	offload := "off"
	if r.Offload {
		offload = "on"
	}
	color := map[string]string{"pass": green, "fail": red, "interrupted": yellow}[r.Verdict()]
	t.line("%s  %s in %s (IPv%d, offload %s%s, seed %d, ring drops %d)",
		t.in(color, strings.ToUpper(r.Verdict())), r.File, ms(r.Duration), r.IP, offload, r.crew(), r.Seed, r.RingDrops)
	for _, n := range r.Notices() {
		t.line("notice: %s", n)
	}
}

// crew tells of the workers where there are several.
func (r *Result) crew() string {
	if r.Workers <= 1 {
		return ""
	}
	return fmt.Sprintf(", %d workers, steering %v", r.Workers, r.Steering)
}
