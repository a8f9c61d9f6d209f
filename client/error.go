package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// An Error is the answer to a call that was not done. All of them have this shape.
type Error struct {
	Message  string    `json:"error"`
	Status   int       `json:"status"`             // the HTTP status
	Hint     string    `json:"hint,omitempty"`     // what to try
	Mistakes []Mistake `json:"mistakes,omitempty"` // in a text of rules, with status 422
}

// Error is the message, and each mistake on a line of its own.
func (e *Error) Error() string {
	lines := []string{e.Message}
	for _, m := range e.Mistakes {
		lines = append(lines, m.String())
	}
	return strings.Join(lines, "\n")
}

// A Mistake is one of those in a text of rules, at its place.
type Mistake struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // from 1
	Col     int    `json:"col"`
	Rule    string `json:"rule,omitempty"` // the name of the rule
	Key     string `json:"key,omitempty"`  // as "match.port"
	Message string `json:"message"`
	Excerpt string `json:"excerpt,omitempty"` // the line, and carets under the place
}

// String is the mistake at its place: file:line:col: message.
func (m *Mistake) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Col, m.Message)
}

// IsStatus tells whether a call was answered by this HTTP status.
func IsStatus(err error, status int) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == status
}

// readError is what an answer that is no success says.
func readError(resp *http.Response) error {
	e := &Error{}
	if err := json.NewDecoder(resp.Body).Decode(e); err != nil || e.Message == "" {
		e.Message = "unexpected answer: " + resp.Status
	}
	e.Status = resp.StatusCode
	return e
}

// hasEnded tells whether an error is how a connection breaks off whose other end is a process that has
// ended: in order, or killed in the midst of an answer.
func hasEnded(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// bareError takes off what only repeats the address.
func bareError(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	return err
}
