package tomldoc

import (
	"fmt"
	"strings"
	"unicode"
)

// A Place is a stretch of one line of a file.
type Place struct {
	File   string
	Line   int    // from 1
	Col    int    // from 1, in characters
	Width  int    // in characters, at least 1
	Source string // the line
}

// String is file:line:col.
func (p Place) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col) }

// From names the place in a message that stands at other: "line 12", or
// "base.toml:12" where the file differs.
func (p Place) From(other Place) string {
	if p.File == other.File {
		return fmt.Sprintf("line %d", p.Line)
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Excerpt is the source line with the place underlined, as two lines:
//
//	14 | delay = "10 ms"
//	   |         ^^^^^^^
func (p Place) Excerpt() string {
	return fmt.Sprintf("%5d | %s\n%5s | %s%s\n", p.Line, p.shown(), "", p.indent(), strings.Repeat("^", p.Width))
}

// shown is the line as a terminal may have it: what is not to be printed, and could be a
// command to it, is a replacement character.
func (p Place) shown() string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, p.Source)
}

// indent is as wide as the line up to the place: tabs stay tabs.
func (p Place) indent() string {
	var b strings.Builder
	for _, r := range p.Source {
		if b.Len() == p.Col-1 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// A Section says which part of a document a mistake is in: rule 2 "late-fin".
// The zero value says nothing.
type Section struct {
	Kind  string // "rule"
	Index int    // from 1; 0 where there is only one
	Name  string // may be empty
}

// String is the section as messages open with it.
func (s Section) String() string {
	text := s.Kind
	if s.Index > 0 {
		text += fmt.Sprintf(" %d", s.Index)
	}
	if s.Name != "" {
		text += fmt.Sprintf(" %q", s.Name)
	}
	return text
}

// An Error is one mistake at its place.
type Error struct {
	Place
	Section Section
	Key     string // "match.port": the path below the section; empty if the mistake is the section's
	Err     error
}

// Error is one line: file:line:col: section: key: what is wrong.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Place.String())
	for _, part := range []string{e.Section.String(), e.Key, e.Err.Error()} {
		if part != "" {
			b.WriteString(": ")
			b.WriteString(part)
		}
	}
	return b.String()
}

// Unwrap is the mistake without its place.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) before(other *Error) bool {
	if e.Line != other.Line {
		return e.Line < other.Line
	}
	return e.Col < other.Col
}
