// Package tomldoc reads a TOML text whose every key has a place.
//
// The toml package checks syntax and decodes, but it knows positions by key path
// only: a mistake in any [[rule]] is reported at the last one, and a type mismatch
// nowhere. So it decodes into plain maps here, and a small scanner, run on text the
// parser has accepted, finds where each key and value stands. Typed readers then
// collect mistakes instead of stopping at the first, and remember the keys they were
// asked for: what nobody asked for is unknown.
//
//	doc := tomldoc.Parse("late-fin.toml", text)
//	for _, rule := range doc.Root().Tables("rule") {
//		name, ok := rule.Text("name")
//		...
//	}
//	doc.Finish()
//	for _, err := range doc.Errors() { ... }
//
// A Doc and what it hands out belong to one goroutine.
package tomldoc

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// A Doc is one TOML text with the mistakes found in it so far.
type Doc struct {
	file   string
	text   string
	lines  []int // the offset at which each line starts
	root   *Table
	tables []*Table // every table that was opened
	errs   []*Error
}

// Parse reads text. A syntax error is collected like any other mistake; the
// document is empty then. The file's name only serves the messages.
func Parse(file, text string) *Doc {
	d := &Doc{file: file, text: trimMark(text)}
	d.lines = lineStarts(d.text)
	tree, values := &node{}, map[string]any{}
	if at, why := unfit(d.text); why != "" {
		d.report(d.place(at), Section{}, "", errors.New(why))
	} else if err := decode(d.text, &values); err != nil {
		d.syntaxError(err)
		values = nil
	} else {
		tree = scan(d.text).root
	}
	d.root = d.open(tree, values)
	return d
}

// decode is toml.Decode with the parser's panics as errors: it answers some
// malformed texts with one.
func decode(text string, into *map[string]any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("this is not TOML")
		}
	}()
	_, err = toml.Decode(text, into)
	return err
}

// trimMark cuts off a byte order mark, as the parser does.
func trimMark(text string) string {
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		if rest, ok := strings.CutPrefix(text, mark); ok {
			return rest
		}
	}
	return text
}

func lineStarts(text string) []int {
	starts := []int{0}
	for i := range len(text) {
		if text[i] == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// File is the name the document was parsed under.
func (d *Doc) File() string { return d.file }

// Root is the table that the whole text is.
func (d *Doc) Root() *Table { return d.root }

// Finish reports the keys that no reader asked for, in every table that was
// opened. What stands below a key that was taken as a whole is its taker's affair.
func (d *Doc) Finish() {
	for _, t := range d.tables {
		for _, key := range t.Keys() {
			if !t.asked[key] {
				t.unknown(key)
			}
		}
	}
}

// Errors lists the mistakes found so far by position, each once.
func (d *Doc) Errors() []*Error {
	sort.SliceStable(d.errs, func(i, k int) bool { return d.errs[i].before(d.errs[k]) })
	d.errs = slices.CompactFunc(d.errs, func(a, b *Error) bool {
		return a.Place == b.Place && a.Error() == b.Error()
	})
	return d.errs
}

func (d *Doc) report(at Place, section Section, key string, err error) {
	d.errs = append(d.errs, &Error{Place: at, Section: section, Key: key, Err: err})
}

// syntaxError takes place and message of the parser's error. Only the byte offset
// is to be trusted: at the end of the text its line may be 0.
func (d *Doc) syntaxError(err error) {
	at, message := span{}, err.Error()
	var parse toml.ParseError
	if errors.As(err, &parse) {
		at = span{parse.Position.Start, parse.Position.Start + parse.Position.Len}
		message = parse.Message
	}
	message = plain(message)
	if aboutValue.MatchString(message) {
		message += d.hint(at)
	}
	d.report(d.place(at), Section{}, "", errors.New(message))
}

// plain is a message in our form: lower case but for an acronym, no full stop.
func plain(message string) string {
	message = strings.TrimSuffix(message, ".")
	first, size := utf8.DecodeRuneInString(message)
	if second, _ := utf8.DecodeRuneInString(message[size:]); unicode.IsUpper(second) {
		return message
	}
	return string(unicode.ToLower(first)) + message[size:]
}

// place turns a stretch of the text into line and columns. It ends with the line.
func (d *Doc) place(at span) Place {
	start := min(max(at.start, 0), len(d.text))
	n := sort.SearchInts(d.lines, start+1) - 1
	line := d.line(n)
	from := min(start-d.lines[n], len(line))
	for from < len(line) && from > 0 && !utf8.RuneStart(line[from]) {
		from-- // the parser's place of an unexpected end may be within a character
	}
	to := min(max(at.end-d.lines[n], from), len(line))
	return Place{
		File:   d.file,
		Line:   n + 1,
		Col:    utf8.RuneCountInString(line[:from]) + 1,
		Width:  max(utf8.RuneCountInString(line[from:to]), 1),
		Source: line,
	}
}

// line is the n-th line, from 0, without its end.
func (d *Doc) line(n int) string {
	end := len(d.text)
	if n+1 < len(d.lines) {
		end = d.lines[n+1] - 1
	}
	return strings.TrimSuffix(d.text[d.lines[n]:end], "\r")
}

// unknown reports a key that nobody asked for.
func (t *Table) unknown(key string) {
	message := fmt.Sprintf("unknown key %q", key)
	if name := Closest(key, t.names); name != "" {
		message += fmt.Sprintf("; did you mean %q?", name)
	}
	t.doc.report(t.KeyPlace(key), t.section, t.label(), errors.New(message))
}
