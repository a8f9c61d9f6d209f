package tomldoc

import (
	"strconv"
	"strings"
)

// A span is a stretch of the text in bytes, half open.
type span struct{ start, end int }

// A node says where one value stands. The values themselves come from the parser.
type node struct {
	key      span // its name; of an array's element, the array's
	value    span // its value; of a table its header
	names    []string
	children map[string]*node
	items    []*node // the elements of an array, also of an array of tables
	table    *Table  // once it was opened
}

// child finds or makes the node of a name. A table may be mentioned before its
// header comes; its first mention serves until then.
func (n *node) child(name string, at span) *node {
	if c, ok := n.children[name]; ok {
		return c
	}
	if n.children == nil {
		n.children = make(map[string]*node)
	}
	c := &node{key: at, value: at}
	n.children[name] = c
	n.names = append(n.names, name)
	return c
}

// last is the table that a name means in a header: of an array its last element.
func (n *node) last() *node {
	if len(n.items) > 0 {
		return n.items[len(n.items)-1]
	}
	return n
}

// A scanner walks text that the parser has accepted, so it checks nothing: commas
// are filler, and a bare value ends where something else begins.
type scanner struct {
	text  string
	pos   int
	root  *node
	table *node      // that the next key belongs to
	path  []string   // of that table, array indices left out
	keys  [][]string // each key and header met, as MetaData.Keys lists them
}

// A part is one name of a dotted key.
type part struct {
	name string
	at   span
}

func scan(text string) *scanner {
	s := &scanner{text: text, root: &node{value: span{0, 0}}}
	s.table = s.root
	for s.filler(); s.pos < len(s.text); s.filler() {
		start := s.pos
		if s.peek() == '[' {
			s.header()
		} else {
			s.pair(s.table, s.path)
		}
		if s.pos == start {
			s.pos++
		}
	}
	return s
}

// header reads [a.b] or [[a.b]] and moves to that table.
func (s *scanner) header() {
	start := s.pos
	array := strings.HasPrefix(s.text[s.pos:], "[[")
	s.pos += width(array)
	parts := s.key()
	s.pos = min(s.pos+width(array), len(s.text))

	n := s.root
	for _, p := range parts[:len(parts)-1] {
		n = n.child(p.name, p.at).last()
	}
	end := parts[len(parts)-1]
	n = n.child(end.name, end.at)
	if array {
		n.items = append(n.items, &node{key: end.at})
		n = n.last()
	}
	n.key, n.value = end.at, span{start, s.pos}
	s.table, s.path = n, s.met(nil, parts)
}

// width is that of the bracket of a header.
func width(array bool) int {
	if array {
		return 2
	}
	return 1
}

// pair reads key = value into a table.
func (s *scanner) pair(table *node, path []string) {
	parts := s.key()
	path = s.met(path, parts)
	n := table
	for _, p := range parts {
		n = n.child(p.name, p.at)
	}
	s.blanks()
	if s.peek() == '=' {
		s.pos++
	}
	s.blanks()
	s.value(n, path)
}

// met notes a key and gives its full path.
func (s *scanner) met(path []string, parts []part) []string {
	full := append([]string(nil), path...)
	for _, p := range parts {
		full = append(full, p.name)
	}
	s.keys = append(s.keys, full)
	return full
}

func (s *scanner) value(n *node, path []string) {
	start := s.pos
	switch s.peek() {
	case '"', '\'':
		s.quoted()
	case '[':
		s.list(']', func() {
			item := &node{key: n.key}
			n.items = append(n.items, item)
			s.value(item, path)
		})
	case '{':
		s.list('}', func() { s.pair(n, path) })
	default:
		s.bare()
	}
	n.value = span{start, s.pos}
}

// list reads to the closing bracket, with one call of each for an element.
func (s *scanner) list(closing byte, each func()) {
	s.pos++
	for s.filler(); s.pos < len(s.text) && s.peek() != closing; s.filler() {
		start := s.pos
		each()
		if s.pos == start {
			s.pos++
		}
	}
	s.pos = min(s.pos+1, len(s.text))
}

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
