package ladder

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// A token is a word of a line: what stands between blanks, between quotes, or
// between < and >.
type token struct {
	text string
	at   tomldoc.Place
}

// A line is what is left to be read of a line of the script.
type line struct {
	tokens []token
	end    tomldoc.Place // where a missing word would stand
}

// scan cuts a line into its tokens; a comment begins with # where a token could.
func scan(file string, number int, source string) (l line, err error) {
	for at := 0; ; {
		at += len(source[at:]) - len(strings.TrimLeft(source[at:], " \t\r"))
		if at == len(source) || source[at] == '#' {
			l.end = place(file, number, source, len(strings.TrimRight(source[:at], " \t\r")), 1)
			return l, nil
		}
		size, ok := tokenLen(source[at:])
		t := token{source[at : at+size], place(file, number, source, at, size)}
		if !ok {
			return l, &Error{t.at, errors.New("this has no end on its line")}
		}
		l.tokens = append(l.tokens, t)
		at += size
	}
}

// tokenLen is the length of the token that s begins with; ok is false if what
// it opens is not closed.
func tokenLen(s string) (n int, ok bool) {
	if s[0] == '<' {
		if n = strings.IndexByte(s, '>') + 1; n == 0 {
			return len(s), false
		}
		return n, true
	}
	quoted := false
	for n = range len(s) {
		switch {
		case s[n] == '"':
			quoted = !quoted
		case strings.IndexByte(" \t\r", s[n]) >= 0 && !quoted:
			return n, true
		}
	}
	return len(s), !quoted
}

func place(file string, number int, source string, at, size int) tomldoc.Place {
	return tomldoc.Place{
		File: file, Line: number, Source: source,
		Col:   utf8.RuneCountInString(source[:at]) + 1,
		Width: max(1, utf8.RuneCountInString(source[at:min(at+size, len(source))])),
	}
}

// next takes the next token; at the end of the line its text is empty.
func (l *line) next() token {
	if len(l.tokens) == 0 {
		return token{at: l.end}
	}
	t := l.tokens[0]
	l.tokens = l.tokens[1:]
	return t
}

func (l *line) peek() string {
	if len(l.tokens) == 0 {
		return ""
	}
	return l.tokens[0].text
}

// accept takes the next token if it is word.
func (l *line) accept(word string) bool {
	if l.peek() != word {
		return false
	}
	l.next()
	return true
}
