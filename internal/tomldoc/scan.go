package tomldoc

import "strings"

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
