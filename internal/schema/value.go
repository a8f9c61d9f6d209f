package schema

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

var (
	word   = node{"type": "string", "minLength": 1}
	whole  = node{"type": "integer"}
	choice = node{"type": []string{"integer", "string"}} // a number, or a range in words
	chance = node{"type": []string{"number", "string"}}
)

// types are the words that the reference has for what may be written.
var types = map[string]node{
	"string":             word,
	"text":               {"type": "string"}, // that may be empty
	"boolean":            {"type": "boolean"},
	"integer":            whole,
	"number":             {"type": "number"},
	"number or range":    choice,
	"ordinal":            choice,
	"size":               choice,
	"rate":               word,
	"address":            word,
	"regular expression": word,
	"bytes":              word, // in hexadecimal
	"string or integer":  {"type": []string{"string", "integer"}},
	"duration":           {"type": "string", "pattern": `^\s*\+?([0-9.]+(ns|us|µs|μs|ms|s|m|h)\s*)+$`},
	"duration range":     word,
	"probability":        chance,
	"table":              {"type": "object"},
	"string or table":    {"type": []string{"string", "integer", "object"}},

	// Put in by hand, see rule.
	"action":               {},
	"actions":              {},
	"probability or table": {},
}

// value is what may be written where the reference says typ. It panics for a word
// that it does not know: then a key was added that editors would not understand.
func value(typ string, values []string, list bool) node {
	if items, ok := strings.CutPrefix(typ, "list of "); ok {
		typ, list = items, true
	}
	n := open(typ, values)
	if n == nil {
		known, ok := types[typ]
		if !ok {
			panic("schema: no description of " + strconv.Quote(typ))
		}
		n = about(known, "")
	}
	if list {
		return node{"anyOf": []node{n, {"type": "array", "items": n, "minItems": 1}}}
	}
	return n
}

// open is a set of words: closed, or with more forms than can be listed; nil if
// there is none. Kinds combine ("fin+!data"), and states have the names of ss and
// netstat, too.
func open(typ string, values []string) node {
	switch {
	case len(values) == 0:
		return nil
	case typ == "integer":
		var numbers []int
		for _, v := range values {
			n, _ := strconv.Atoi(v)
			numbers = append(numbers, n)
		}
		return node{"enum": numbers}
	case typ == "string or integer":
		return node{"anyOf": []node{{"enum": values}, whole}}
	case slices.Equal(values, conntrack.KindNames()), slices.Equal(values, conntrack.StateNames()):
		return node{"anyOf": []node{{"enum": values}, word}}
	}
	return node{"enum": values}
}
