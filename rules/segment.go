package rules

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// A SegmentMatch is what `segment` says of a segment's kinds. The zero value
// matches everything.
type SegmentMatch struct {
	Any     []Conj          // alternatives; none at all means every segment
	Exclude conntrack.Kinds // and none of these
}

// A Conj is one alternative: "ack+!ack-of-fin".
type Conj struct {
	All  conntrack.Kinds // each of these
	None conntrack.Kinds // and none of these
}

// Match tells whether a segment of these kinds is meant.
func (m SegmentMatch) Match(kinds conntrack.Kinds) bool {
	if kinds.Any(m.Exclude) {
		return false
	}
	for _, c := range m.Any {
		if c.Match(kinds) {
			return true
		}
	}
	return len(m.Any) == 0
}

// Match tells whether a segment of these kinds is meant.
func (c Conj) Match(kinds conntrack.Kinds) bool { return kinds.All(c.All) && !kinds.Any(c.None) }

// String is the match as a rule file writes it.
func (m SegmentMatch) String() string {
	parts := make([]string, len(m.Any))
	for i, c := range m.Any {
		parts[i] = c.String()
	}
	return strings.Join(append(parts, negated(m.Exclude)...), ", ")
}

// String is the alternative as a rule file writes it.
func (c Conj) String() string {
	return strings.Join(append(c.All.Append(nil), negated(c.None)...), "+")
}

func negated(kinds conntrack.Kinds) []string {
	names := kinds.Append(nil)
	for i := range names {
		names[i] = "!" + names[i]
	}
	return names
}

// readSegment reads one element or a list of them. "!kind" by itself excludes.
func readSegment(v tomldoc.Value) (m SegmentMatch) {
	var places []tomldoc.Value // of m.Any
	for _, item := range v.List() {
		c, ok := readConj(item)
		switch {
		case !ok:
		case c.All == 0 && !strings.Contains(item.Any().(string), "+"):
			m.Exclude |= c.None
		default:
			m.Any = append(m.Any, c)
			places = append(places, item)
		}
	}
	for i, c := range m.Any {
		if both := c.All & m.Exclude; both != 0 {
			places[i].Errorf("%q can never match: the list excludes %s", c, both)
		} else if c.None |= m.Exclude; !c.possible() {
			places[i].Errorf("%q can never match: no segment is that", c)
		}
	}
	return m
}

func readConj(v tomldoc.Value) (c Conj, ok bool) {
	text, ok := v.Text()
	if !ok {
		return c, false
	}
	for word := range strings.SplitSeq(text, "+") {
		name, not := strings.CutPrefix(strings.TrimSpace(word), "!")
		kind, known := conntrack.ParseKind(name)
		if !known {
			v.Errorf("%w", unknown("segment kind", name, conntrack.KindNames()))
			return c, false
		}
		if not {
			c.None |= conntrack.KindsOf(kind)
		} else {
			c.All |= conntrack.KindsOf(kind)
		}
	}
	if both := c.All & c.None; both != 0 {
		v.Errorf("%q can never match: %s and !%s", text, both, both)
		return c, false
	}
	return c, true
}

// pages are the topics of the reference that list what is too much for a line.
var pages = map[string]string{"action": "actions", "segment kind": "kinds"}

// mostListed is how many words a line may hold.
const mostListed = 10

// asList is a text with commas or bars in it as the list that was meant, or "".
func asList(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '|' })
	if len(words) < 2 {
		return ""
	}
	for i := range words {
		words[i] = strconv.Quote(strings.TrimSpace(words[i]))
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// unknown is the error about a word that is none of names.
func unknown(what, word string, names []string) error {
	if list := asList(word); list != "" {
		return fmt.Errorf("unknown %s %q; several are a list: %s", what, word, list)
	}
	if name := tomldoc.Closest(word, names); name != "" {
		return fmt.Errorf("unknown %s %q; did you mean %q?", what, word, name)
	}
	switch page := pages[what]; {
	case len(names) <= mostListed:
		return fmt.Errorf("unknown %s %q; there is %s", what, word, strings.Join(names, ", "))
	case page != "":
		return fmt.Errorf("unknown %s %q; tcpmangle help %s lists them", what, word, page)
	}
	return fmt.Errorf("unknown %s %q", what, word)
}
