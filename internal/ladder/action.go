package ladder

import (
	"slices"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// An action is what a step does or checks. The error says what was otherwise.
type action interface {
	play(p *player, s *step) error
}

// The actions. Sides are 0 for the client's and 1 for the server's.
type (
	arrive struct { // C->, C->S, C->|: a packet comes in from the client
		side int
		spec
		then fate
	}
	expect struct { // ->C: a packet has left for the client
		side int
		spec
	}
	wait struct { // for so long nothing leaves
		long time.Duration
		last bool // and there the script ends, whatever is due later
	}
	renumber   struct{ isn [2]uint32 } // the connection's numbers begin there from now on
	checkState struct{ want [2]*conntrack.State }
	checkKinds struct{ want conntrack.Kinds }
	checkEvent struct {
		kind string
		want map[string]string
	}
	checkFired struct {
		rule string
		n    uint64
	}
	checkCount struct {
		name string
		n    uint64
	}
	command struct{ verb, name string }
)

// A fate is what a script says at once of a packet that comes in.
type fate int

const (
	anyFate fate = iota // other lines tell
	passes              // it leaves now, as it came
	stops               // it never leaves
)

var verbs map[string]func(p *parser, l *line) action

func init() {
	verbs = map[string]func(*parser, *line) action{
		"C->":     func(p *parser, l *line) action { return p.arrival(0, anyFate, l) },
		"S->":     func(p *parser, l *line) action { return p.arrival(1, anyFate, l) },
		"C->S":    func(p *parser, l *line) action { return p.arrival(0, passes, l) },
		"S->C":    func(p *parser, l *line) action { return p.arrival(1, passes, l) },
		"C->|":    func(p *parser, l *line) action { return p.arrival(0, stops, l) },
		"S->|":    func(p *parser, l *line) action { return p.arrival(1, stops, l) },
		"->C":     func(p *parser, l *line) action { return expect{0, p.segment(l)} },
		"->S":     func(p *parser, l *line) action { return expect{1, p.segment(l)} },
		"nothing": func(p *parser, l *line) action { return wait{long: p.duration(l)} },
		"until":   func(p *parser, l *line) action { return wait{long: p.duration(l), last: true} },
		"isn":     (*parser).isn,
		"state":   (*parser).state,
		"kinds":   (*parser).kinds,
		"event":   (*parser).event,
		"fired":   (*parser).fired,
		"count":   (*parser).count,
		"do":      (*parser).command,
	}
}

// action reads what a step does.
func (p *parser) action(l *line) action {
	t := l.next()
	if verb, ok := verbs[t.text]; ok {
		return verb(p, l)
	}
	p.fail(t, unknown("word", t.text, words()))
	l.tokens = nil
	return nil
}

// words are all the words that a line may begin with.
func words() (all []string) {
	for word := range verbs {
		all = append(all, word)
	}
	all = append(all, "connect")
	for word := range directives {
		all = append(all, word)
	}
	slices.Sort(all)
	return all
}

func (p *parser) arrival(side int, then fate, l *line) action {
	t := token{at: l.end}
	if len(l.tokens) > 0 {
		t = l.tokens[0]
	}
	s := p.segment(l)
	switch {
	case s.same, s.anySeq:
		p.errorf(t, `"=" and "*" are for what leaves`)
	case s.gso > 0 && !p.offload:
		p.errorf(t, `a super-packet comes in only after "offload on"`)
	case s.partial && !p.offload:
		p.errorf(t, `a partial checksum comes in only after "offload on"`)
	}
	return arrive{side, s, then}
}

func (p *parser) isn(l *line) action {
	var a renumber
	p.word(l, "client")
	a.isn[0] = uint32(p.number(l, 32))
	p.word(l, "server")
	a.isn[1] = uint32(p.number(l, 32))
	return a
}

func (p *parser) word(l *line, want string) {
	if t := l.next(); t.text != want {
		p.errorf(t, "%q is wanted here", want)
	}
}

// state reads "state client STATE server STATE", of which one may be missing.
func (p *parser) state(l *line) action {
	var a checkState
	for side, role := range []string{"client", "server"} {
		if !l.accept(role) {
			continue
		}
		t := l.next()
		s, ok := conntrack.ParseState(t.text)
		if !ok {
			p.fail(t, unknown("state", t.text, conntrack.StateNames()))
		}
		a.want[side] = &s
	}
	if a == (checkState{}) {
		p.errorf(l.next(), `write "state client STATE server STATE"`)
	}
	return a
}

func (p *parser) kinds(l *line) action {
	var a checkKinds
	t := l.next()
	if t.text == "none" {
		return a
	}
	for name := range strings.SplitSeq(t.text, ",") {
		k, ok := conntrack.ParseKind(name)
		if !ok {
			p.fail(t, unknown("segment kind", name, conntrack.KindNames()))
		}
		a.want |= conntrack.KindsOf(k)
	}
	return a
}

var eventTypes = []string{"open", "state", "segment", "deliver", "rule", "close", "overflow", "reload"}

// event reads "event TYPE KEY=VALUE...", of the keys of the events file.
func (p *parser) event(l *line) action {
	a := checkEvent{p.oneOf(l, eventTypes...), map[string]string{}}
	for l.peek() != "" {
		t := l.next()
		key, value, ok := strings.Cut(t.text, "=")
		if !ok || key == "" {
			p.errorf(t, `write KEY=VALUE, or KEY="VALUE" where it has blanks`)
			continue
		}
		a.want[key] = strings.Trim(value, `"`)
	}
	return a
}

func (p *parser) fired(l *line) action {
	name := p.ruleName(l)
	return checkFired{name, p.number(l, 64)}
}

// ruleName reads the name of a rule of the script.
func (p *parser) ruleName(l *line) string {
	t := l.next()
	var names []string
	for _, r := range p.set.Rules {
		names = append(names, r.Name)
	}
	if !slices.Contains(names, t.text) {
		p.fail(t, unknown("rule", t.text, names))
	}
	return t.text
}

func (p *parser) count(l *line) action {
	name := p.oneOf(l, counterNames()...)
	return checkCount{name, p.number(l, 64)}
}

var commands = []string{"release", "enable", "disable", "heal", "mute", "unmute"}

// command reads "do VERB": what the API, a lab's steps or a user's hand does.
func (p *parser) command(l *line) action {
	a := command{verb: p.oneOf(l, commands...)}
	switch a.verb {
	case "release", "enable", "disable":
		a.name = p.ruleName(l)
	case "mute", "unmute":
		a.name = p.oneOf(l, "client", "server")
	}
	return a
}
