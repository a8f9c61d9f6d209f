package rules

import (
	"math"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// A KeyDoc is one key of the reference.
type KeyDoc struct {
	Name    string
	Type    string   // what is written there: "duration", "number or range", "list of actions"
	Default string   // as a file would write it; empty if leaving it out sets no limit
	Doc     string   // one sentence without a full stop
	Values  []string // the words it knows, if they are few and fixed
	List    bool     // a list means any of
	Segment bool     // asks for a segment, so a rule with `at` has no use for it
}

// A key is a KeyDoc with its reader: what a file may say and what we say about it
// are one table. A further key is one more line in it.
type key[T any] struct {
	KeyDoc
	read func(into *T, v tomldoc.Value)
}

// readKeys reads those of the keys that the table has.
func readKeys[T any](keys []key[T], into *T, t *tomldoc.Table) {
	for _, k := range keys {
		if v, ok := t.Value(k.Name); ok {
			k.read(into, v)
		}
	}
}

func docs[T any](keys []key[T]) []KeyDoc {
	all := make([]KeyDoc, len(keys))
	for i, k := range keys {
		all[i] = k.KeyDoc
	}
	return all
}

func names(keys []KeyDoc) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.Name
	}
	return all
}

// MatchKeys is the reference of the keys of `match`.
func MatchKeys() []KeyDoc { return docs(matchKeys) }

// LimitKeys is the reference of the keys of a rule that say how often it fires.
func LimitKeys() []KeyDoc { return docs(limitKeys) }

// RuleKeys is the reference of the other keys of a rule.
func RuleKeys() []KeyDoc { return append([]KeyDoc(nil), ruleKeys...) }

// ruleKeys are read by the decoder, which knows how they hang together.
var ruleKeys = []KeyDoc{
	{Name: "name", Type: "string", Default: `"rule-N"`, Doc: "what messages, events and steps call the rule; letters, digits, _ . and -"},
	{Name: "match", Type: "table", Doc: "which segments of which connections; all keys must hold"},
	{Name: "at", Type: "table", Doc: "act at a moment of each matching connection, without a segment: once, or count times"},
	{Name: "action", Type: "action", Doc: "what happens to them"},
	{Name: "actions", Type: "list of actions", Doc: "several actions, done in order, in place of action"},
	{Name: "enabled", Type: "boolean", Default: "true", Doc: "false: loaded, but asleep until it is enabled"},
	{Name: "optional", Type: "boolean", Default: "false", Doc: "may stay unfired without being a failure"},
}

const (
	typeRange    = "number or range"
	typeOrdinal  = "ordinal"
	typeDuration = "duration range"
)

var matchKeys = []key[Match]{
	{KeyDoc{Name: "port", Type: typeRange, List: true, Doc: "the server's port"},
		func(m *Match, v tomldoc.Value) { m.Port = readRanges(v, 1, 65535) }},
	{KeyDoc{Name: "client", Type: "address", List: true, Doc: "the client's address or CIDR, with optional :port or :lo-hi"},
		func(m *Match, v tomldoc.Value) { m.Client = readAddrs(v) }},
	{KeyDoc{Name: "server", Type: "address", List: true, Doc: "the server's address or CIDR, with optional :port or :lo-hi"},
		func(m *Match, v tomldoc.Value) { m.Server = readAddrs(v) }},
	{KeyDoc{Name: "from", Type: "string", List: true, Segment: true, Values: roleNames, Doc: "who sent it"},
		func(m *Match, v tomldoc.Value) { m.From = readRole(v) }},
	{KeyDoc{Name: "segment", Type: "string", List: true, Segment: true, Values: conntrack.KindNames(), Doc: `its kind; "!kind" excludes, "a+b" is both, "a+!b" is a without b`},
		func(m *Match, v tomldoc.Value) { m.Segment = readSegment(v) }},
	{KeyDoc{Name: "flags", Type: "string", List: true, Segment: true, Doc: `letters of FSRPAUEC: "SA" exactly these of FSRA, "+F-R" F set and R clear`},
		func(m *Match, v tomldoc.Value) { m.Flags = readFlags(v) }},
	{KeyDoc{Name: "option", Type: "string or integer", List: true, Segment: true, Values: OptionNames(), Doc: "a TCP option that it carries, by name or number"},
		func(m *Match, v tomldoc.Value) { m.Option = readOptions(v) }},
	{KeyDoc{Name: "client_state", Type: "string", List: true, Values: conntrack.StateNames(), Doc: "the client's inferred state as the segment arrives at the box"},
		func(m *Match, v tomldoc.Value) { m.ClientState = readStates(v) }},
	{KeyDoc{Name: "server_state", Type: "string", List: true, Values: conntrack.StateNames(), Doc: "the server's inferred state as the segment arrives at the box"},
		func(m *Match, v tomldoc.Value) { m.ServerState = readStates(v) }},
	{KeyDoc{Name: "connection", Type: typeOrdinal, List: true, Doc: "which of the connections that the address keys select, in SYN order"},
		func(m *Match, v tomldoc.Value) { m.Connection = readOrdinals(v) }},
	{KeyDoc{Name: "incarnation", Type: typeOrdinal, List: true, Doc: "which connection on its 4-tuple"},
		func(m *Match, v tomldoc.Value) { m.Incarnation = readOrdinals(v) }},
	{KeyDoc{Name: "length", Type: typeRange, List: true, Segment: true, Doc: "payload bytes"},
		func(m *Match, v tomldoc.Value) { m.Length = readRanges(v, 0, math.MaxInt64) }},
	{KeyDoc{Name: "offset", Type: typeRange, List: true, Segment: true, Doc: `place of its payload in the stream of its direction, from 0; "contains 4096" is the segment with that byte`},
		func(m *Match, v tomldoc.Value) { m.Offset = readOffsets(v) }},
	{KeyDoc{Name: "payload", Type: "regular expression", List: true, Segment: true, Doc: "found in the payload of this segment (RE2)"},
		func(m *Match, v tomldoc.Value) { m.Payload = readPatterns(v) }},
	{KeyDoc{Name: "payload_hex", Type: "bytes", List: true, Segment: true, Doc: `found in the payload of this segment: "16 03 01"`},
		func(m *Match, v tomldoc.Value) { m.PayloadHex = readBytes(v) }},
	{KeyDoc{Name: "age", Type: typeDuration, List: true, Doc: "since the connection's first SYN"},
		func(m *Match, v tomldoc.Value) { m.Age = readDurationRanges(v) }},
	{KeyDoc{Name: "idle", Type: typeDuration, List: true, Doc: "silence on the connection before this segment"},
		func(m *Match, v tomldoc.Value) { m.Idle = readDurationRanges(v) }},
	{KeyDoc{Name: "opened", Type: typeDuration, List: true, Doc: "box time at which the connection opened"},
		func(m *Match, v tomldoc.Value) { m.Opened = readDurationRanges(v) }},
	{KeyDoc{Name: "tag", Type: "string", List: true, Doc: "a tag set on the connection by an earlier action"},
		func(m *Match, v tomldoc.Value) { m.Tags, _ = v.Strings() }},
	{KeyDoc{Name: "not_tag", Type: "string", List: true, Doc: "tags of which none is set on the connection"},
		func(m *Match, v tomldoc.Value) { m.NotTags, _ = v.Strings() }},
}

var limitKeys = []key[Limits]{
	{KeyDoc{Name: "nth", Type: typeRange, List: true, Segment: true, Doc: "only these of the matching segments of one connection and direction, from 1"},
		func(l *Limits, v tomldoc.Value) { l.Nth = readRanges(v, 1, math.MaxInt64) }},
	{KeyDoc{Name: "every", Type: "integer", Segment: true, Doc: "only each n-th of them"},
		func(l *Limits, v tomldoc.Value) { l.Every = readCount(v) }},
	{KeyDoc{Name: "count", Type: "integer", Doc: "at most so many firings per connection"},
		func(l *Limits, v tomldoc.Value) { l.Count = readCount(v) }},
	{KeyDoc{Name: "total", Type: "integer", Doc: "at most so many firings in all"},
		func(l *Limits, v tomldoc.Value) { l.Total = readCount(v) }},
	{KeyDoc{Name: "probability", Type: "probability or table", Default: "1", Doc: `the chance of each segment, or { model = "gilbert-elliott", p, r, loss_good, loss_bad }`},
		readChance},
	{KeyDoc{Name: "share", Type: "probability", Default: "1", Doc: "the share of the connections, decided once for each"},
		func(l *Limits, v tomldoc.Value) { l.Share, _ = v.Probability() }},
	{KeyDoc{Name: "after", Type: "duration", Default: `"0s"`, Doc: "only from then on, counted from the box's start or the rule's last load"},
		func(l *Limits, v tomldoc.Value) { l.After, _ = v.Duration() }},
	{KeyDoc{Name: "for", Type: "duration", Doc: "and only so long"},
		readFor},
}
