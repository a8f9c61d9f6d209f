package tomldoc

import (
	"strconv"
	"strings"
)

// bare reads a number, boolean or date; a date may have a space in it.
func (s *scanner) bare() {
	rest := s.text[s.pos:]
	if end := strings.IndexAny(rest, ",]}#\r\n"); end >= 0 {
		rest = rest[:end]
	}
	s.pos += len(strings.TrimRight(rest, " \t"))
}

// quoted reads a string in any of the four quotations.
func (s *scanner) quoted() {
	if rest := s.text[s.pos:]; strings.HasPrefix(rest, `"""`) || strings.HasPrefix(rest, "'''") {
		s.multiline()
		return
	}
	s.oneLine()
}

// oneLine reads a string in single quotes or double quotes.
func (s *scanner) oneLine() {
	quote := s.peek()
	for s.pos++; s.pos < len(s.text) && s.peek() != quote; s.pos++ {
		if quote == '"' && s.peek() == '\\' {
			s.pos++
		}
	}
	s.pos = min(s.pos+1, len(s.text))
}

// multiline reads to the end of a run of three to five quotes: up to two may
// belong to the string.
func (s *scanner) multiline() {
	quote := s.peek()
	s.pos += 3
	for run := 0; s.pos < len(s.text); s.pos++ {
		switch c := s.peek(); {
		case c == quote:
			run++
			continue
		case run >= 3:
			return
		case c == '\\' && quote == '"':
			s.pos++
		}
		run = 0
	}
	s.pos = min(s.pos, len(s.text))
}

// A part is one name of a dotted key.
type part struct {
	name string
	at   span
}

// key reads the parts of a dotted key, at least one.
func (s *scanner) key() []part {
	var parts []part
	for {
		s.blanks()
		parts = append(parts, s.part())
		s.blanks()
		if s.peek() != '.' {
			return parts
		}
		s.pos++
	}
}

func (s *scanner) part() part {
	start := s.pos
	if c := s.peek(); c != '"' && c != '\'' {
		for isBare(s.peek()) {
			s.pos++
		}
		return part{s.text[start:s.pos], span{start, s.pos}}
	}
	quote := s.peek()
	s.oneLine() // a key has no triple quotes
	at := span{start, s.pos}
	name := s.text[min(start+1, s.pos):max(s.pos-1, start)]
	if quote == '"' {
		name = unescape(name)
	}
	return part{name, at}
}

// unescape resolves the escapes of a basic string on one line.
func unescape(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, `\`)
		b.WriteString(before)
		if !found || rest == "" {
			return b.String()
		}
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[rest[0]]
		if len(rest) <= digits {
			return b.String()
		}
		if digits > 0 {
			code, _ := strconv.ParseUint(rest[1:1+digits], 16, 32)
			b.WriteRune(rune(code))
		} else {
			b.WriteByte(escaped(rest[0]))
		}
		text = rest[1+digits:]
	}
}

// escaped is the byte that an escape of one letter stands for.
func escaped(letter byte) byte {
	if i := strings.IndexByte("btnfre", letter); i >= 0 {
		return "\b\t\n\f\r\x1b"[i]
	}
	return letter
}

func isBare(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// peek is the byte at hand, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// blanks skips white space within a line.
func (s *scanner) blanks() {
	for s.peek() == ' ' || s.peek() == '\t' {
		s.pos++
	}
}

// filler skips white space, commas and comments, over lines.
func (s *scanner) filler() {
	for s.pos < len(s.text) {
		switch s.peek() {
		case ' ', '\t', '\r', '\n', ',':
			s.pos++
		case '#':
			s.comment()
		default:
			return
		}
	}
}

func (s *scanner) comment() {
	end := strings.IndexByte(s.text[s.pos:], '\n')
	if end < 0 {
		s.pos = len(s.text)
		return
	}
	s.pos += end
}
