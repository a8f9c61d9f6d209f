package lab

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Expectations of what one host's script or program does.

// sideSpecs are several expectations written as one.
type sideSpecs []spec

// String joins them.
func (s sideSpecs) String() string {
	var text strings.Builder
	for i, one := range s {
		if i > 0 {
			text.WriteString(" and ")
		}
		text.WriteString(one.String())
	}
	return text.String()
}

func (s sideSpecs) check() check {
	all := &allChecks{}
	for _, one := range s {
		all.checks = append(all.checks, one.check())
	}
	return all
}

// allChecks pass when each of them has.
type allChecks struct{ checks []check }

func (a *allChecks) look(m *moment) finding {
	done := finding{ruling: pass, at: m.at}
	a.checks = slices.DeleteFunc(a.checks, func(c check) bool {
		f := c.look(m)
		if f.ruling == fail {
			done = f
		}
		return f.ruling == pass
	})
	if len(a.checks) > 0 && done.ruling == pass {
		return finding{}
	}
	return done
}

// errorSpec: a script's command meets an error.
type errorSpec struct {
	side   int
	name   string
	within limit
}

// String is "error client: ECONNRESET".
func (s *errorSpec) String() string {
	return "error " + sideNames[s.side] + ": " + s.name + s.within.String()
}

func (s *errorSpec) check() check { return s }

func (s *errorSpec) look(m *moment) finding {
	a := m.actors[s.side]
	over := a.over() // before the errors: the last one is there then
	_, errs, _ := a.told()
	met := "no error"
	for _, e := range errs {
		at := e.At - m.start
		if e.Name == s.name && !s.within.over(at) {
			return finding{ruling: pass, why: e.Text, at: at}
		}
		met = e.Text
	}
	return missing(m, s.within, over, "the "+sideNames[s.side]+" met "+met)
}

// missing: what was expected of an actor has not come yet. It never will when the
// time is over or the actor is.
func missing(m *moment, within limit, over bool, why string) finding {
	if m.last || m.rest || within.over(m.at) || over {
		return finding{ruling: fail, why: why}
	}
	return finding{}
}

// exitSpec: every copy of a program ends with a status.
type exitSpec struct {
	side   int
	status int
	within limit
}

// String is "exit client: 0".
func (s *exitSpec) String() string {
	return fmt.Sprintf("exit %s: %d%v", sideNames[s.side], s.status, s.within)
}

func (s *exitSpec) check() check { return s }

func (s *exitSpec) look(m *moment) finding {
	a := m.actors[s.side]
	_, _, exits := a.told()
	for _, e := range exits {
		if e.Status != s.status {
			return finding{ruling: fail, why: fmt.Sprintf("it ended with %d", e.Status)}
		}
	}
	if len(exits) > 0 && a.over() {
		at := exits[len(exits)-1].At - m.start
		if !s.within.over(at) {
			return finding{ruling: pass, at: at}
		}
		return finding{ruling: fail, why: fmt.Sprintf("it ended at %.3fs", at.Seconds())}
	}
	return missing(m, s.within, false, "it has not ended")
}

// outputSpec: a line of a program's output matches.
type outputSpec struct {
	side   int
	stream string
	re     *regexp.Regexp
	within limit
}

// String is "stdout server: ^ready".
func (s *outputSpec) String() string {
	return s.stream + " " + sideNames[s.side] + ": " + s.re.String() + s.within.String()
}

func (s *outputSpec) check() check { return &outputCheck{outputSpec: s} }

type outputCheck struct {
	*outputSpec
	read int // lines looked at
}

func (c *outputCheck) look(m *moment) finding {
	a := m.actors[c.side]
	over := a.over() // before the lines: the last one is there then
	lines, _, _ := a.told()
	for ; c.read < len(lines); c.read++ {
		l := lines[c.read]
		at := l.At - m.start
		if l.Stream == c.stream && c.re.MatchString(l.Text) && !c.within.over(at) {
			return finding{ruling: pass, why: l.Text, at: at}
		}
	}
	return missing(m, c.within, over, "no line of it matches")
}
