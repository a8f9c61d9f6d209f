package rules

import (
	"errors"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// readMatch reads the table `match`.
func readMatch(t *tomldoc.Table) (m Match) {
	readKeys(matchKeys, &m, t)
	wanted := func(tag string) bool { return !slices.Contains(m.NotTags, tag) }
	if len(m.Tags) > 0 && !slices.ContainsFunc(m.Tags, wanted) {
		exclude(t, "not_tag", "tag")
	}
	return m
}

// exclude reports two keys of a table that cannot stand together, at the one named
// first, with the place of the other.
func exclude(t *tomldoc.Table, key, other string) {
	at := t.KeyPlace(other)
	t.Errorf(key, "%q and %q (%s) exclude each other", key, other, at.From(t.KeyPlace(key)))
}

// errListen is about a name that netstat has taught everybody.
var errListen = errors.New("LISTEN is no state of a connection; an endpoint without a socket for it is CLOSED")

func readStates(v tomldoc.Value) (set conntrack.StateSet) {
	for _, item := range v.List() {
		text, ok := item.Text()
		if !ok {
			continue
		}
		state, known := conntrack.ParseState(text)
		switch {
		case known:
			set |= conntrack.StatesOf(state)
		case strings.EqualFold(text, "LISTEN"):
			item.Errorf("%w", errListen)
		default:
			item.Errorf("%w", unknown("state", text, conntrack.StateNames()))
		}
	}
	return set
}
