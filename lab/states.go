package lab

import (
	"strings"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// states is a set of states of a host's end. LISTEN is one here: a listener, and no
// socket for the connection yet.
type states struct {
	set    conntrack.StateSet
	listen bool
	text   string // as messages write it
}

const listenName = "LISTEN"

// pair is what the two ends of one connection must be in; nil: anything.
type pair [2]*states

// String is "client TIME_WAIT, server LAST_ACK".
func (p pair) String() string {
	var parts []string
	for side, s := range p {
		if s != nil {
			parts = append(parts, sideNames[side]+" "+s.text)
		}
	}
	return strings.Join(parts, ", ")
}

// readPair reads the keys client and server.
func readPair(t *tomldoc.Table) (p pair) {
	for side, name := range sideNames {
		if v, ok := t.Value(name); ok {
			p[side] = readStates(v)
		}
	}
	return p
}

func readStates(v tomldoc.Value) *states {
	s := &states{}
	var names []string
	for _, item := range v.List() {
		text, ok := item.Text()
		if !ok {
			continue
		}
		name, ok := s.add(text)
		if !ok {
			item.Errorf("unknown state %q%s", text, didYouMean(text, append(conntrack.StateNames(), listenName)))
		}
		names = append(names, name)
	}
	s.text = strings.Join(names, " or ")
	return s
}

func (s *states) add(text string) (name string, ok bool) {
	if strings.EqualFold(text, listenName) {
		s.listen = true
		return listenName, true
	}
	state, ok := conntrack.ParseState(text)
	if ok {
		s.set |= conntrack.StatesOf(state)
	}
	return state.String(), ok
}

// has tells whether an end is in one of the states. Who has nothing but a listener
// is in LISTEN, and in CLOSED too.
func (s *states) has(e end) bool {
	if s == nil {
		return true
	}
	return s.set.Has(e.state) || s.listen && !e.present && e.listening
}

func didYouMean(word string, names []string) string {
	if name := tomldoc.Closest(word, names); name != "" {
		return `; did you mean "` + name + `"?`
	}
	return ""
}
