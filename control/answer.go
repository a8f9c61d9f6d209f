package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

// maxBody bounds what a call may send.
const maxBody = 4 << 20

// answer writes a value as JSON.
func answer(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // who has gone hears nothing
	return nil
}

// refuse is an answer that is no success.
func refuse(status int, format string, args ...any) error {
	return &client.Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// answerError writes an error in the one shape that there is.
func answerError(w http.ResponseWriter, err error) {
	e := errorOf(err)
	_ = answer(w, e.Status, e)
}

// errorOf says in the API's words what went wrong.
func errorOf(err error) *client.Error {
	var (
		ready   *client.Error
		bad     *badFiles
		taken   *TakenError
		tooMuch *http.MaxBytesError
	)
	mistakes, others := mistakesIn(err)
	switch {
	case errors.As(err, &ready):
		return ready
	case len(mistakes) > 0:
		said := append([]string{"there are mistakes in the rules; nothing has changed"}, others...)
		return &client.Error{Status: http.StatusUnprocessableEntity, Mistakes: mistakesOf(mistakes), Message: strings.Join(said, "; ")}
	case errors.As(err, &bad):
		return &client.Error{Status: http.StatusUnprocessableEntity, Message: err.Error()}
	case errors.As(err, &taken):
		return &client.Error{Status: http.StatusConflict, Message: taken.Error(), Hint: "give the rule another name"}
	case errors.As(err, &tooMuch):
		return &client.Error{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("a body has %d bytes at most", tooMuch.Limit)}
	case errors.Is(err, ErrStale):
		return &client.Error{Status: http.StatusPreconditionFailed, Message: err.Error(), Hint: "read the rules again"}
	case errors.Is(err, ErrNoFiles):
		return &client.Error{Status: http.StatusConflict, Message: err.Error(), Hint: "tcpmangle reload FILE, or PUT /v1/rules, sets them"}
	case errors.Is(err, engine.ErrStopped):
		return &client.Error{Status: http.StatusServiceUnavailable, Message: err.Error()}
	}
	return &client.Error{Status: http.StatusInternalServerError, Message: err.Error()}
}

// mistakesIn tells mistakes in rules from what else an error says.
func mistakesIn(err error) (mistakes rules.Errors, others []string) {
	if m, ok := err.(*rules.Error); ok {
		return rules.Errors{m}, nil
	}
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			m, o := mistakesIn(one)
			mistakes, others = append(mistakes, m...), append(others, o...)
		}
		return mistakes, others
	case *badFiles:
		return mistakesIn(e.error)
	}
	return nil, []string{err.Error()}
}

func mistakesOf(errs rules.Errors) (all []client.Mistake) {
	for _, e := range errs {
		place := fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Col)
		all = append(all, client.Mistake{
			File: e.File, Line: e.Line, Col: e.Col, Rule: e.Name, Key: e.Key,
			Message: strings.TrimPrefix(e.Error(), place), Excerpt: e.Excerpt(),
		})
	}
	return all
}

// readJSON reads the body of a call into v. An empty one leaves v as it is. A key that v has not is refused:
// what is misspelt would be silently without effect.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	return decodeJSON(http.MaxBytesReader(w, r.Body, maxBody), v)
}

func decodeJSON(body io.Reader, v any) error {
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	dec.UseNumber()
	err := dec.Decode(v)
	wrong, isWrong := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case isTooMuch(err):
		return err
	case isWrong:
		return refuse(http.StatusBadRequest, "bad JSON: %s", mistaken(wrong))
	case err != nil:
		return refuse(http.StatusBadRequest, "bad JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return refuse(http.StatusBadRequest, "bad JSON: something follows the object")
	}
	return nil
}

// mistaken says in JSON's words, not in Go's, that a value is of another type than it has to be.
func mistaken(e *json.UnmarshalTypeError) string {
	key := "the body"
	if e.Field != "" {
		key = e.Field[strings.LastIndexByte(e.Field, '.')+1:]
	}
	if e.Field != "" && e.Type.Kind() == reflect.Struct { // objects stand in lists only
		key = "each of " + key
	}
	is, _, _ := strings.Cut(e.Value, " ") // of a number, which one
	return fmt.Sprintf("%s must be %s, not %s", key, inJSON[e.Type.Kind().String()], inJSON[is])
}

// inJSON are types in JSON's words: by their kind in Go, and as package json calls what it has met.
var inJSON = map[string]string{
	"string": "a string", "bool": "true or false", "slice": "a list", "struct": "an object", "map": "an object",
	"number": "a number", "array": "a list", "object": "an object",
}

func isTooMuch(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}

// readText reads the body of a call that is a text.
func readText(w http.ResponseWriter, r *http.Request) (string, error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil && !isTooMuch(err) {
		err = refuse(http.StatusBadRequest, "read the body: %v", err)
	}
	return string(text), err
}
