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
	checkEnds(&m, t)
	checkSorts(&m, t)
	return m
}

// checkEnds reports addresses and ports that no connection has together.
func checkEnds(m *Match, t *tomldoc.Table) {
	var families, ports bool
	for _, server := range m.Server {
		for _, client := range m.Client {
			families = families || client.Prefix.Addr().Is4() == server.Prefix.Addr().Is4()
		}
		for _, port := range m.Port {
			ports = ports || port.Lo <= server.Ports.Hi && server.Ports.Lo <= port.Hi
		}
	}
	if !sound(t, "server") {
		return
	}
	if !families && sound(t, "client") {
		nothingHas(t, "connection", "server", "client")
	}
	if !ports && sound(t, "port") {
		nothingHas(t, "connection", "server", "port")
	}
}

// sound tells whether a key is there, and nothing has been reported of it: who has written
// "fim" has not said what is to match.
func sound(t *tomldoc.Table, key string) bool { return t.Has(key) && !t.Wrong(key) }

// nothingHas reports two keys of a match at the one named first, with the place of the other,
// since what they ask for cannot be had together.
func nothingHas(t *tomldoc.Table, what, key, other string) {
	at := t.KeyPlace(other)
	t.Errorf(key, "no %s has this and what %q (%s) asks for", what, other, at.From(t.KeyPlace(key)))
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
