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
	over := a.over() && !m.restarts(s.side) // before the errors: the last one is there then
	met := "no error"
	for _, e := range a.failures() {
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

// exitSpec: every copy of a program ends with a status, since its last start; one that is to
// come is waited for.
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
	if m.restarts(s.side) && !m.last && !m.rest && !s.within.over(m.at) {
		return finding{}
	}
	a := m.actors[s.side]
	over := a.over() // before the ends: the last one is there then
	exits := a.ends()
	for _, e := range exits {
		if e.Status != s.status {
			return finding{ruling: fail, why: fmt.Sprintf("it ended with %d%s", e.Status, e.words())}
		}
	}
	if len(exits) > 0 && over {
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

func (s *outputSpec) check() check { return s }

// outputs are the expectations of a host's output.
func (f *File) outputs(side int) (all []*outputSpec) {
	anySpec(f.expects, func(s *outputSpec) bool {
		if s.side == side {
			all = append(all, s)
		}
		return false // there may be more
	})
	return all
}

func (s *outputSpec) matches(l *Line) bool { return l.Stream == s.stream && s.re.MatchString(l.Text) }

func (s *outputSpec) look(m *moment) finding {
	a := m.actors[s.side]
	over := a.over() && !m.restarts(s.side) // before the line: the last one is there then
	if l, ok := a.meets(s); ok && !s.within.over(l.At-m.start) {
		return finding{ruling: pass, why: l.Text, at: l.At - m.start}
	}
	return missing(m, s.within, over, "no line of it matches")
}
