package ladder

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A step is one line of a script that does or checks something.
type step struct {
	at    tomldoc.Place
	after time.Duration // since the step before
	conn  *conn
	do    action
}

var errNoStep = errors.New("the script does nothing, and would always pass")

// A parser reads a script line by line and collects the mistakes.
type parser struct {
	*Script
	file     string
	load     func(file string) (*rules.Set, error)
	hasRules bool
	errs     Errors
}

func parse(name, text string, load func(string) (*rules.Set, error)) (*Script, error) {
	p := &parser{
		Script: &Script{Name: name, set: &rules.Set{}},
		file:   name, load: load,
	}
	p.conns = []*conn{newConn("", clientPort, serverPort)}
	p.source = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if title, ok := strings.CutPrefix(p.source[0], "#"); ok {
		p.Title = strings.TrimSpace(title)
	}
	for i := 0; i < len(p.source); {
		i += p.line(i)
	}
	if len(p.errs) == 0 && len(p.steps) == 0 {
		p.fail(token{at: tomldoc.Place{File: name, Line: 1, Col: 1, Width: 1, Source: p.source[0]}}, errNoStep)
	}
	if len(p.errs) > 0 {
		return nil, p.errs
	}
	return p.Script, nil
}

func newConn(name string, client, server uint16) *conn {
	return &conn{name: name, ports: [2]uint16{client, server}, isn: DefaultISN()}
}

func (p *parser) fail(t token, err error) { p.errs = append(p.errs, &Error{t.at, err}) }

func (p *parser) errorf(t token, format string, args ...any) {
	p.fail(t, fmt.Errorf(format, args...))
}

// line reads the i-th line, from 0, and returns how many it has taken.
func (p *parser) line(i int) (taken int) {
	l, err := scan(p.file, i+1, p.source[i])
	if err != nil {
		p.errs = append(p.errs, err)
		return 1
	}
	if len(l.tokens) == 0 {
		return 1
	}
	first := l.tokens[0]
	if d, ok := directives[first.text]; ok {
		l.next()
		taken = d(p, i, first, &l)
	} else {
		p.step(&l)
		taken = 1
	}
	if rest := l.next(); rest.text != "" && !p.failedOn(i+1) {
		p.errorf(rest, "%q is too much here", rest.text)
	}
	return taken
}

// failedOn tells whether the line has a mistake already: one is enough.
func (p *parser) failedOn(number int) bool {
	return slices.ContainsFunc(p.errs, func(err error) bool {
		e, ok := err.(*Error)
		return ok && e.Line == number
	})
}

// The directives set the scene. They take no time and stand before the lines
// that they concern.
var directives map[string]func(p *parser, i int, word token, l *line) (taken int)

func init() {
	directives = map[string]func(*parser, int, token, *line) int{
		"rules":   (*parser).rules,
		"seed":    (*parser).readSeed,
		"offload": (*parser).readOffload,
		"ip":      (*parser).readIP,
		"conn":    (*parser).readConn,
	}
}

func (p *parser) readSeed(_ int, _ token, l *line) int {
	p.seed, p.hasSeed = p.number(l, 64), true
	return 1
}

func (p *parser) readOffload(_ int, _ token, l *line) int {
	p.offload = p.oneOf(l, "on", "off") == "on"
	return 1
}

func (p *parser) readIP(_ int, _ token, l *line) int {
	p.ip, _ = strconv.Atoi(p.oneOf(l, "4", "6"))
	return 1
}

func (p *parser) readConn(_ int, _ token, l *line) int {
	name := l.next()
	switch {
	case name.text == "" || strings.HasSuffix(name.text, ":"):
		p.errorf(name, `write "conn NAME CLIENTPORT SERVERPORT"`)
		return 1
	case p.conn(name.text) != nil:
		p.errorf(name, "there is a connection %q already", name.text)
	}
	p.conns = append(p.conns, newConn(name.text, uint16(p.number(l, 16)), uint16(p.number(l, 16))))
	return 1
}

// conn is the connection of a name, or nil.
func (p *parser) conn(name string) *conn {
	for _, c := range p.conns {
		if c.name == name {
			return c
		}
	}
	return nil
}

// rules reads "rules FILE", or "rules {" and the lines up to "}".
func (p *parser) rules(i int, word token, l *line) (taken int) {
	if p.hasRules {
		p.errorf(word, "a script has its rules in one place")
	}
	p.hasRules = true
	if !l.accept("{") {
		p.rulesFile(l)
		return 1
	}
	end := slices.IndexFunc(p.source[i+1:], func(s string) bool { return strings.TrimRight(s, " \t\r") == "}" })
	if end < 0 {
		p.errorf(word, `this block has no end, a line with "}" alone`)
		return len(p.source) - i
	}
	// Blank lines before it give its mistakes the line numbers of the script.
	block := strings.Repeat("\n", i+1) + strings.Join(p.source[i+1:i+1+end], "\n") + "\n"
	p.rulesOf(word, func() (*rules.Set, error) { return rules.Parse(p.file, block) })
	return end + 2
}

func (p *parser) rulesFile(l *line) {
	t := l.next()
	if t.text == "" {
		p.errorf(t, `write "rules FILE", or "rules {", the rules, and "}" alone on a line`)
		return
	}
	p.rulesOf(t, func() (*rules.Set, error) { return p.load(t.text) })
}

func (p *parser) rulesOf(t token, read func() (*rules.Set, error)) {
	set, err := read()
	var mistakes rules.Errors
	switch {
	case errors.As(err, &mistakes):
		p.errs = append(p.errs, mistakes.Unwrap()...)
	case err != nil:
		p.fail(t, err)
	default:
		p.set = set
	}
}

// step reads "[NAME:] [+TIME] what".
func (p *parser) step(l *line) {
	s := step{at: l.tokens[0].at, conn: p.conns[0]}
	if last := l.tokens[len(l.tokens)-1].at; last.Col > s.at.Col {
		s.at.Width = last.Col + last.Width - s.at.Col
	}
	if name, ok := strings.CutSuffix(l.peek(), ":"); ok {
		t := l.next()
		if s.conn = p.conn(name); s.conn == nil {
			p.errorf(t, `no connection %q was declared; write "conn %s CLIENTPORT SERVERPORT" before`, name, name)
			return
		}
	}
	if strings.HasPrefix(l.peek(), "+") {
		s.after = p.duration(l)
	}
	if len(p.steps) > 0 {
		if w, ok := p.steps[len(p.steps)-1].do.(wait); ok && w.last {
			p.errs = append(p.errs, &Error{s.at, errors.New(`nothing stands after "until": it is the script's end`)})
		}
	}
	if l.accept("connect") {
		p.connect(l, s)
		return
	}
	if s.do = p.action(l); s.do != nil {
		p.steps = append(p.steps, s)
	}
}

// duration reads +10ms, or +0.01 in seconds.
func (p *parser) duration(l *line) time.Duration {
	t := l.next()
	text, ok := strings.CutPrefix(t.text, "+")
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + "s")
	}
	if !ok || err != nil || d < 0 {
		p.errorf(t, "%q is not a time to wait; write +10ms, +2s or, in seconds, +0.01", t.text)
	}
	if d > maxWait {
		p.errorf(t, "no line may wait for more than %v", maxWait)
	}
	return d
}

// maxWait keeps the clock of a script far from its end.
const maxWait = 365 * 24 * time.Hour

// number reads an unsigned number of so many bits.
func (p *parser) number(l *line, bits int) uint64 {
	t := l.next()
	n, err := strconv.ParseUint(t.text, 10, bits)
	if err != nil {
		p.errorf(t, "a number from 0 to %d is wanted here", uint64(1)<<bits-1)
	}
	return n
}

// quoted reads text between quotes.
func (p *parser) quoted(l *line) string {
	t := l.next()
	if len(t.text) < 2 || t.text[0] != '"' {
		p.errorf(t, `text between quotes is wanted here`)
		return ""
	}
	return t.text[1 : len(t.text)-1]
}

// oneOf reads one of a few words.
func (p *parser) oneOf(l *line, words ...string) string {
	t := l.next()
	if !slices.Contains(words, t.text) {
		p.fail(t, unknown("word", t.text, words))
		return ""
	}
	return t.text
}

// unknown is the error about a word that is none of names.
func unknown(what, word string, names []string) error {
	if word == "" {
		return fmt.Errorf("one of %s is wanted here", strings.Join(names, ", "))
	}
	if name := tomldoc.Closest(word, names); name != "" {
		return fmt.Errorf("unknown %s %q; did you mean %q?", what, word, name)
	}
	return fmt.Errorf("unknown %s %q; there is %s", what, word, strings.Join(names, ", "))
}
