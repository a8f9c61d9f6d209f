package ladder

import (
	"fmt"
	"io"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// An Error is one mistake in a script, at its place.
type Error struct {
	tomldoc.Place
	Err error // what is wrong, without the place
}

// Error is one line: file:line:col: what is wrong.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Place, e.Err) }

// Unwrap is the mistake without its place.
func (e *Error) Unwrap() error { return e.Err }

// Errors are all the mistakes of one script, in their order. A mistake in a
// rule that the script holds or names is a *rules.Error.
type Errors []error

// Error is one line for each.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap is the single mistakes, for errors.As and errors.Is.
func (es Errors) Unwrap() []error { return es }

// Render writes each mistake with the line of the file and a caret under it.
func (es Errors) Render(w io.Writer) error {
	for _, e := range es {
		text := e.Error() + "\n"
		if at, ok := e.(interface{ Excerpt() string }); ok {
			text += at.Excerpt()
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}
