package script

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A word is a piece of a line without blanks, and where it stands.
type word struct {
	text string
	col  int // of its first byte, from 1
}

// arguments is one line: its verb, and what follows it, taken from the left.
type arguments struct {
	no   int // of the line
	verb word
	body string // all that follows the verb, without comment
	rest string // what has not been taken of body
	col  int    // of rest
	errs *[]Error
}

const blanks = " \t\r"

// split separates verb, arguments and comment. A line with nothing to do has
// an empty verb.
func split(no int, line string, errs *[]Error) arguments {
	body := strings.TrimLeft(line, blanks)
	col := len(line) - len(body) + 1
	if strings.HasPrefix(body, "#") {
		body = ""
	}
	a := arguments{no: no, errs: errs}
	a.verb = word{text: body, col: col}
	if n := strings.IndexAny(body, blanks); n >= 0 {
		a.verb.text = body[:n]
	}
	tail := body[len(a.verb.text):]
	a.rest = strings.TrimLeft(tail, blanks)
	a.col = col + len(body) - len(a.rest)
	a.rest = stripComment(a.rest)
	a.body = a.rest
	return a
}

// stripComment cuts the comment off what follows a verb, which may begin with
// a quoted text.
func stripComment(s string) string {
	from := 0
	if strings.HasPrefix(s, `"`) {
		from = quotedLen(s)
	}
	for i := from; i < len(s); i++ {
		if s[i] == '#' && (i == 0 || strings.IndexByte(blanks, s[i-1]) >= 0) {
			s = s[:i]
			break
		}
	}
	return s[:from] + strings.TrimRight(s[from:], blanks)
}

// quotedLen is the length of the quoted text s begins with, both quotes
// included; all of s if it does not end.
func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// text is the command as a report shows it.
func (a *arguments) text() string {
	if a.body == "" {
		return a.verb.text
	}
	return a.verb.text + " " + a.body
}

// next takes one word.
func (a *arguments) next() (word, bool) {
	if a.rest == "" {
		return word{}, false
	}
	n := strings.IndexAny(a.rest, blanks)
	if n < 0 {
		n = len(a.rest)
	}
	w := word{text: a.rest[:n], col: a.col}
	a.skip(n)
	return w, true
}

// skip takes n bytes and the blanks after them.
func (a *arguments) skip(n int) {
	rest := strings.TrimLeft(a.rest[n:], blanks)
	a.col += len(a.rest) - len(rest)
	a.rest = rest
}

// end reports what nobody took.
func (a *arguments) end() {
	if a.rest != "" {
		a.fail(word{a.rest, a.col}, "%s: %q is too much; write %s", a.verb.text, a.rest, verbs[a.verb.text].usage)
		a.rest = ""
	}
}

func (a *arguments) fail(w word, format string, args ...any) {
	*a.errs = append(*a.errs, Error{Line: a.no, Col: w.col, Len: len(w.text), Msg: fmt.Sprintf(format, args...)})
}

// wants reports that something is missing after the last word.
func (a *arguments) wants(what string) {
	a.fail(word{"", a.col}, "%s: want %s", a.verb.text, what)
}

// textArgument takes all that is left as a text: quoted, or as it stands.
func (a *arguments) textArgument() string {
	if !strings.HasPrefix(a.rest, `"`) {
		s := a.rest
		a.skip(len(s))
		return s
	}
	n := quotedLen(a.rest)
	quoted := word{a.rest[:n], a.col}
	a.skip(n)
	return a.unquote(quoted)
}

// unquote resolves the escapes of a quoted text.
func (a *arguments) unquote(w word) string {
	var b strings.Builder
	s := w.text
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String()
		case '\\':
			c, n := unescape(s[i+1:])
			if n == 0 {
				a.badEscape(word{s[i:], w.col + i})
				n = 1
			} else {
				b.WriteByte(c)
			}
			i += n
		default:
			b.WriteByte(s[i])
		}
	}
	a.fail(w, "%s: the text has no closing quote (in TOML write the script between ''' so that \\n stays as it is)", a.verb.text)
	return ""
}

// badEscape reports the unknown escape that w begins with; not the one that
// the end of the line cuts short, which is a missing quote.
func (a *arguments) badEscape(w word) {
	if len(w.text) < 2 {
		return
	}
	_, n := utf8.DecodeRuneInString(w.text[1:])
	w.text = w.text[:1+n]
	a.fail(w, `%s: unknown escape %s; there are \n \r \t \0 \\ \" \xHH`, a.verb.text, w.text)
}

// unescape reads what follows a backslash: the byte it means, and how many
// bytes it takes; 0 if it is no escape.
func unescape(s string) (c byte, n int) {
	if s == "" {
		return 0, 0
	}
	switch s[0] {
	case 'n':
		return '\n', 1
	case 'r':
		return '\r', 1
	case 't':
		return '\t', 1
	case '0':
		return 0, 1
	case '\\', '"':
		return s[0], 1
	case 'x':
		if len(s) >= 3 && unhex(s[1]) >= 0 && unhex(s[2]) >= 0 {
			return byte(unhex(s[1])<<4 | unhex(s[2])), 3
		}
	}
	return 0, 0
}

func unhex(c byte) int { return strings.IndexByte("0123456789abcdef", c|0x20) }
