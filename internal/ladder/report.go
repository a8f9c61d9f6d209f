package ladder

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A Report tells how a script was played.
type Report struct {
	Name, Title string
	Seed        uint64
	Took        time.Duration // on the box's clock
	Err         error         // nil if everything was as the script says; else an *Error at its line
	Stats       engine.Stats
	Rules       []engine.RuleReport

	shown []entry
}

// An entry is one line of the ladder as it happened.
type entry struct {
	at    time.Duration
	wrong bool // a packet that is not as the script says
	text  string
}

// A failure is the step that failed, and why; no step is the script's end.
type failure struct {
	step *step
	err  error
}

func (p *player) report(f *failure) *Report {
	r := &Report{
		Name: p.Name, Title: p.Title, Seed: p.seed, Took: p.now,
		Stats: p.box.Stats(), Rules: p.box.Report(), shown: p.shown,
	}
	if f != nil {
		r.Err = &Error{p.placeOf(f), f.err}
	}
	return r
}

func (p *player) placeOf(f *failure) tomldoc.Place {
	if f.step != nil {
		return f.step.at
	}
	last := len(p.source)
	return place(p.Name, last, p.source[last-1], 0, len(p.source[last-1]))
}

// WriteText writes the ladder as it happened. If the script has failed, the
// packet that was not expected is marked, and the script's own line follows.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	result := "PASS"
	if r.Err != nil {
		result = "FAIL"
	}
	fmt.Fprintf(&b, "%s %s: %s (seed %d)\n", result, r.Name, r.Title, r.Seed)
	for _, e := range r.shown {
		mark := " "
		if e.wrong {
			mark = ">"
		}
		fmt.Fprintf(&b, "%s %14s  %s\n", mark, clock(e.at), e.text)
	}
	if e, ok := r.Err.(*Error); ok {
		fmt.Fprintf(&b, "%v\n%s", e, e.Excerpt())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// show enters a packet into the report.
func (p *player) show(in *packet, left bool) {
	arrow := []string{"C->  ", "S->  "}[in.side]
	if left {
		arrow = []string{"->C  ", "->S  "}[in.side]
	}
	p.shown = append(p.shown, entry{at: p.now, text: arrow + p.describe(in)})
}

// note enters an event into the report.
func (p *player) note(e *engine.Event) {
	text := fmt.Sprintf("     # %v: %v -> %v (%s)", e.Endpoint, e.FromState, stateAfter(e), e.Cause)
	if e.Type == engine.EventRule {
		text = strings.TrimRight(fmt.Sprintf("     # %s: %s %s", strings.Join(e.Rules, ","), e.Action, e.Detail), " ")
	}
	p.shown = append(p.shown, entry{at: p.now, text: text})
}

func stateAfter(e *engine.Event) fmt.Stringer {
	if e.Endpoint == 0 {
		return e.ClientState
	}
	return e.ServerState
}

// describe writes a packet as a script does.
func (p *player) describe(in *packet) string {
	v, ok := in.parsed()
	if !ok {
		return p.describeOther(in.data)
	}
	c, from := p.connOf(&v)
	if c == nil {
		return fmt.Sprintf("%v > %v: %s", v.SrcAddrPort(), v.DstAddrPort(), flagsText(v.Flags()))
	}
	isn := p.shifted[c]
	at := uint32(v.Seq()) - isn[from]
	text := fmt.Sprintf("%-3s %d:%d(%d)", flagsText(v.Flags()), at, at+uint32(v.PayloadLen()), v.PayloadLen())
	if v.Flags().Has(wire.ACK) {
		text += fmt.Sprintf(" ack %d", uint32(v.Ack())-isn[1-from])
	}
	text += fmt.Sprintf(" win %d", v.Window())
	if o := optionsText(&v, isn[1-from]); o != "" {
		text += " " + o
	}
	if v.GSO() > 0 {
		text += fmt.Sprintf(" gso %d", v.GSO())
	}
	if c.name != "" {
		text += "  (" + c.name + ")"
	}
	return text
}

// connOf is the script's connection that a packet belongs to, and the side
// that it seems to come from.
func (p *player) connOf(v *wire.Packet) (c *conn, from int) {
	for _, c := range p.conns {
		for from := range 2 {
			if v.SrcAddrPort() == p.addr(c, from) && v.DstAddrPort() == p.addr(c, 1-from) {
				return c, from
			}
		}
	}
	return nil, 0
}

// describeOther writes what is no TCP segment.
func (p *player) describeOther(data []byte) string {
	e, ok := wire.ParseICMPError(data)
	if !ok {
		return fmt.Sprintf("raw %x", data)
	}
	if k, ok := e.Kind(); ok {
		return fmt.Sprintf("icmp %v about %v > %v", k, e.Src, e.Dst)
	}
	return fmt.Sprintf("icmp %d/%d about %v > %v", e.Type, e.Code, e.Src, e.Dst)
}
