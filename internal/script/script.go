package script

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// A Script is a parsed text. It does not change, and any number of Runners
// may run it at once.
type Script struct {
	commands []command
}

// A command is one line to be run, with the expect-error before it.
type command struct {
	line   int      // in the text, from 1
	verb   word     // as it stands there
	text   string   // as written, without indentation and comment
	expect []string // the names it must fail with, any of them; none: it must not fail
	step   step
}

// A step is what a command does. Its result completes the line of output;
// it may be empty.
type step interface {
	run(ctx context.Context, t *task) (result string, err error)
}

// Ports lists the ports the script listens on, in the order of its lines.
func (s *Script) Ports() []uint16 {
	var ports []uint16
	for _, c := range s.commands {
		if l, ok := c.step.(listenStep); ok && c.expect == nil {
			ports = append(ports, l.port)
		}
	}
	return ports
}

// An Error is one mistake in a script's text.
type Error struct {
	Line, Col int // of its first byte, both from 1
	Len       int // bytes to underline; may be 0 at the end of a line
	Msg       string
}

func (e Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Msg) }

// Parse reads a whole script and reports every mistake in it, in the order of
// the text. The Script is nil if there is any.
func Parse(text string) (*Script, []Error) {
	var p parser
	for i, line := range strings.Split(text, "\n") {
		p.line(i+1, line)
	}
	if p.pending != nil {
		p.fail(p.pending.line, p.pending.col, len("expect-error"), "expect-error: no command follows that could fail")
	}
	if len(p.errs) > 0 {
		slices.SortStableFunc(p.errs, func(a, b Error) int {
			return cmp.Or(a.Line-b.Line, a.Col-b.Col)
		})
		return nil, p.errs
	}
	return &Script{commands: p.commands}, nil
}

// A parser collects commands and mistakes line by line.
type parser struct {
	commands []command
	errs     []Error
	flow     flow
	pending  *expectation // an expect-error that waits for its command
}

// An expectation is an expect-error line.
type expectation struct {
	line, col int
	names     []string
}

func (p *parser) fail(line, col, n int, format string, args ...any) {
	p.errs = append(p.errs, Error{Line: line, Col: col, Len: n, Msg: fmt.Sprintf(format, args...)})
}

// line takes one line of text.
func (p *parser) line(no int, line string) {
	a := split(no, line, &p.errs)
	if a.verb.text == "" {
		return
	}
	v, ok := verbs[a.verb.text]
	if !ok {
		a.fail(a.verb, "unknown command %q%s", a.verb.text, didYouMean(a.verb.text, verbNames))
		p.flow.lost, p.pending = true, nil
		return
	}
	before := len(p.errs)
	if v.parse == nil {
		p.expectError(&a)
		return
	}
	step := v.parse(&a)
	a.end()
	c := command{line: no, verb: a.verb, text: a.text(), step: step}
	if p.pending != nil {
		c.expect, p.pending = p.pending.names, nil
	}
	if len(p.errs) > before {
		p.flow.lost = true
		return
	}
	if msg := p.flow.take(v, c.expect != nil); msg != "" {
		a.fail(a.verb, "%s %s", a.verb.text, msg)
		return
	}
	p.commands = append(p.commands, c)
}

// expectError reads the names of an expect-error and keeps them for the
// command that follows.
func (p *parser) expectError(a *arguments) {
	if p.pending != nil {
		a.fail(a.verb, "expect-error: line %d expects an error of the same command; write the names on one line", p.pending.line)
	}
	p.pending = &expectation{line: a.no, col: a.verb.col}
	for {
		w, ok := a.next()
		if !ok {
			break
		}
		if !isErrorName(w.text) {
			a.fail(w, "expect-error: unknown error %q%s", w.text, didYouMean(w.text, errorNames()))
		}
		p.pending.names = append(p.pending.names, w.text)
	}
	if p.pending.names == nil {
		a.wants("an error's name, as ECONNRESET or EOF")
		p.pending.names = []string{} // still an expectation: flow counts on it
	}
}
