package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// A Look is what the rules made of one segment, or of a moment of a connection; of
// one that has opened, which rules do not concern it. Whoever is handed one may
// read it until the function returns.
type Look struct {
	// Event says what was looked at: EventSegment, EventOpen, or EventRule for a
	// moment. Its states are those that the rules saw, before a segment was delivered.
	Event
	// Looks stand in file order. Rules behind one that ended the walk did not look.
	Looks []RuleLook
}

// A RuleLook is what one rule had to say.
type RuleLook struct {
	Rule  string
	Fired bool
	// Why is what it did, or the first predicate that failed.
	Why string

	index int
}

// looked notes what a rule made of what is in hand.
func (b *Box) looked(r *rule, failed predicate, saw int64) {
	if b.cfg.OnLook == nil {
		return
	}
	l := RuleLook{Rule: r.Name, index: r.Index, Fired: failed == nothing}
	if l.Fired {
		l.Why = "fired: " + r.actionNames()
	} else {
		l.Why = r.words(failed, saw).no()
	}
	b.look.Looks = append(b.look.Looks, l)
}

func (r *rule) actionNames() string {
	names := make([]string, len(r.Actions))
	for i, a := range r.Actions {
		names[i] = a.Name
	}
	return strings.Join(names, ", ")
}

// explain tells of the segment in hand, whose walk has ended.
func (b *Box) explain(j *Journey) {
	if b.cfg.OnLook == nil {
		return
	}
	e := b.describe(EventSegment, j.Conn, j.Dir, j.Seg)
	if j.Kinds.Has(conntrack.KindICMP) {
		e = Event{Type: EventSegment, From: j.Dir, FromSide: j.Conn.Side(j.Dir)}
	}
	e.Kinds, e.Verdict, e.Rules, e.Reason = j.Kinds, j.verdict, j.fired, j.reason
	if by := j.by; by != nil && !slices.ContainsFunc(b.look.Looks, func(l RuleLook) bool { return l.Fired && l.Rule == by.Name }) {
		b.look.Looks = append(b.look.Looks, RuleLook{Rule: by.Name, index: math.MaxInt, Why: j.before()})
	}
	b.tellLook(j.Conn, e)
}

// before says what a rule does to a segment that it has not fired on.
func (j *Journey) before() string {
	switch {
	case j.verdict == Hold:
		return "held: it stands behind what the rule holds"
	case j.reason == "held":
		return "swallowed: it repeats what the rule holds"
	}
	return "dropped: for what the rule did before"
}

// explainOpen tells of a connection which rules do not concern it, and why.
func (b *Box) explainOpen(c *conntrack.Conn, chosen []candidate) {
	if b.cfg.OnLook == nil {
		return
	}
	for _, r := range b.rules.rules {
		named := func(l RuleLook) bool { return l.Rule == r.Name }
		is := func(c candidate) bool { return c.rule == r }
		if !slices.ContainsFunc(chosen, is) && !slices.ContainsFunc(b.look.Looks, named) {
			b.looked(r, byPort, int64(c.Server().Port())) // the index has left it out
		}
	}
	b.tellLook(c, Event{Type: EventOpen})
}

// explainMoment tells what a rule made of a moment.
func (b *Box) explainMoment(c *candidate, conn *conntrack.Conn, failed predicate, saw int64) {
	if b.cfg.OnLook == nil {
		return
	}
	b.looked(c.rule, failed, saw)
	b.tellLook(conn, Event{Type: EventRule, Detail: c.At.String()})
}

// tellLook hands on what was noted.
func (b *Box) tellLook(c *conntrack.Conn, e Event) {
	slices.SortStableFunc(b.look.Looks, func(x, y RuleLook) int { return cmp.Compare(x.index, y.index) })
	b.look.Event = b.about(c, e)
	b.cfg.OnLook(&b.look)
	b.look.Looks = b.look.Looks[:0]
}

// AppendText appends the look as lines: one for what was looked at, and one for each rule.
//
//	0.012300 #1 client FA 101:102 ack 201  fin first-fin  FIN_WAIT_1 ESTABLISHED
//	    lose-fin  fired: drop
//	    later     no: segment is fin, not data
func (l *Look) AppendText(dst []byte) []byte {
	dst = strconv.AppendFloat(dst, l.Time.Seconds(), 'f', 6, 64)
	dst = fmt.Appendf(dst, " #%d ", l.Conn)
	switch l.Type {
	case EventOpen:
		dst = fmt.Appendf(dst, "open %v > %v", l.Client, l.Server)
	case EventRule:
		dst = append(dst, "at "+l.Detail...)
	default:
		dst = l.appendSegment(dst)
	}
	dst = fmt.Appendf(dst, "  %v %v\n", l.ClientState, l.ServerState)
	width := 0
	for i := range l.Looks {
		width = max(width, len(l.Looks[i].Rule))
	}
	for i := range l.Looks {
		dst = fmt.Appendf(dst, "    %-*s  %s\n", width, l.Looks[i].Rule, l.Looks[i].Why)
	}
	return dst
}

func (l *Look) appendSegment(dst []byte) []byte {
	dst = append(dst, l.From.String()...)
	if l.Flags != "" {
		dst = fmt.Appendf(dst, " %s %d:%d", l.Flags, l.Seq, l.Seq+uint32(l.Len))
		if strings.Contains(l.Flags, "A") {
			dst = fmt.Appendf(dst, " ack %d", l.Ack)
		}
	}
	return append(dst, "  "+strings.Join(l.Kinds.Append(nil), " ")...)
}
