package rules

import (
	"io"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// An Error is one mistake in a rule file, at its place.
type Error struct {
	File      string
	Line, Col int    // from 1; columns are characters
	Rule      int    // the rule's ordinal in its file, from 1; 0 outside the rules
	Name      string // the rule's, if it has one
	Key       string // as "match.port" or "hold.timeout"; empty if the rule as a whole is wrong
	Err       error  // what is wrong, without the place

	whole *tomldoc.Error
}

// Error is one line: file:line:col: rule 2 "name": key: what is wrong.
func (e *Error) Error() string { return e.whole.Error() }

// Unwrap is the mistake without its place.
func (e *Error) Unwrap() error { return e.Err }

// Excerpt is the line of the file with the mistake underlined, as two lines.
func (e *Error) Excerpt() string { return e.whole.Excerpt() }

// Errors are all the mistakes in one or more files, in their order.
type Errors []*Error

// Error is one line for each.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap is the single mistakes, for errors.As and errors.Is.
func (es Errors) Unwrap() []error {
	all := make([]error, len(es))
	for i, e := range es {
		all[i] = e
	}
	return all
}

// Render writes each mistake with the line of the file and a caret under it:
//
//	late-fin.toml:14:9: rule 2 "late-fin": delay: "10 ms" is not a duration; write "10ms"
//	   14 | delay = "10 ms"
//	      |         ^^^^^^^
func (es Errors) Render(w io.Writer) error {
	for _, e := range es {
		if _, err := io.WriteString(w, e.Error()+"\n"+e.Excerpt()); err != nil {
			return err
		}
	}
	return nil
}

// DocErrors lists the mistakes collected in a document, those of its other readers too.
func DocErrors(doc *tomldoc.Doc) (all Errors) {
	for _, e := range doc.Errors() {
		our := &Error{File: e.File, Line: e.Line, Col: e.Col, Key: e.Key, Err: e.Err, whole: e}
		if e.Section.Kind == "rule" {
			our.Rule, our.Name = e.Section.Index, e.Section.Name
		}
		all = append(all, our)
	}
	return all
}
