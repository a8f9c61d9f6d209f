package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// An At is a moment in the life of a connection at which a rule acts without a
// segment: after a silence, at an age, or once an endpoint has been in a state for
// a time. One of Idle, Age and State is given.
type At struct {
	Idle  time.Duration      // neither endpoint has sent anything for so long
	Age   time.Duration      // since the connection's first SYN
	State conntrack.StateSet // the endpoint Of is in one of these
	Of    Side               // both: either of them
	For   time.Duration      // and has been in State for so long, without a break
}

// String is the moment as a rule file writes it.
func (a *At) String() string {
	switch {
	case a.Idle > 0:
		return fmt.Sprintf("idle = %v", a.Idle)
	case a.Age > 0:
		return fmt.Sprintf("age = %v", a.Age)
	}
	text := fmt.Sprintf("state = %s", a.State)
	if a.Of != SideBoth {
		text += fmt.Sprintf(", of = %s", a.Of)
	}
	if a.For > 0 {
		text += fmt.Sprintf(", for = %v", a.For)
	}
	return text
}

// ofNames are the endpoints that `of` may name.
var ofNames = []string{"client", "server", "any"}

var atKeys = []key[At]{
	{KeyDoc{Name: "idle", Type: "duration", Doc: "as soon as neither endpoint has sent anything for so long"},
		func(a *At, v tomldoc.Value) { a.Idle = readSpan(v) }},
	{KeyDoc{Name: "age", Type: "duration", Doc: "so long after the connection's first SYN"},
		func(a *At, v tomldoc.Value) { a.Age = readSpan(v) }},
	{KeyDoc{Name: "state", Type: "string", List: true, Values: conntrack.StateNames(), Doc: "as an endpoint comes into this inferred state"},
		func(a *At, v tomldoc.Value) { a.State = readStates(v) }},
	{KeyDoc{Name: "of", Type: "string", Values: ofNames, Default: "any", Doc: "of a state: whose"},
		readOf},
	{KeyDoc{Name: "for", Type: "duration", Default: `"0s"`, Doc: "of a state: so long after that, if it is in the state all the while"},
		func(a *At, v tomldoc.Value) { a.For, _ = v.Duration() }},
}

// AtKeys is the reference of the keys of `at`.
func AtKeys() []KeyDoc { return docs(atKeys) }

// readSpan reads a duration of more than nothing.
func readSpan(v tomldoc.Value) time.Duration {
	d, ok := v.Duration()
	if ok && d == 0 {
		v.Errorf("must be more than 0s")
	}
	return d
}

func readOf(a *At, v tomldoc.Value) {
	if i, ok := readName(v, "endpoint", ofNames); ok {
		a.Of = []Side{SideClient, SideServer, SideBoth}[i]
	}
}

// readAt reads the table `at`.
func readAt(t *tomldoc.Table) *At {
	a := &At{Of: SideBoth}
	readKeys(atKeys, a, t)
	var moments []string
	for _, key := range []string{"idle", "age", "state"} {
		if t.Has(key) {
			moments = append(moments, key)
		}
	}
	switch {
	case len(moments) == 0 && !slices.ContainsFunc(t.Keys(), isUnknown): // else that is the mistake
		t.Errorf("", `names no moment; write at = { idle = "30s" }, { age = "10s" } or { state = "FIN_WAIT_2" }`)
	case len(moments) == 0:
	case len(moments) > 1:
		exclude(t, moments[1], moments[0])
	case moments[0] != "state":
		for _, key := range []string{"of", "for"} {
			if t.Has(key) {
				t.Errorf(key, "belongs to a state; there is none with %q", moments[0])
			}
		}
	}
	return a
}

// isUnknown tells whether `at` has no such key.
func isUnknown(name string) bool {
	return !slices.ContainsFunc(atKeys, func(k key[At]) bool { return k.Name == name })
}

// withoutSegment reports what a rule with `at` has and only a segment could serve.
func withoutSegment(rule *tomldoc.Table) {
	if match, ok := rule.Table("match"); ok {
		refuse(match, segmentKeys(matchKeys), rule)
	}
	refuse(rule, segmentKeys(limitKeys), rule)
	if v, ok := rule.Value("probability"); ok {
		if _, isModel := v.Any().(map[string]any); isModel {
			v.Errorf("a model of losses runs over segments; %s", noSegment(rule, v.Place()))
		}
	}
	for _, key := range []string{"action", "actions"} {
		if v, ok := rule.Value(key); ok {
			for _, item := range v.List() {
				refuseAction(item, rule)
			}
		}
	}
}

// refuse reports those of the keys that a table has.
func refuse(t *tomldoc.Table, keys []string, rule *tomldoc.Table) {
	for _, key := range keys {
		if t.Has(key) {
			t.Errorf(key, "%q asks for a segment; %s", key, noSegment(rule, t.KeyPlace(key)))
		}
	}
}

// refuseAction reports an action that cannot do without a segment.
func refuseAction(v tomldoc.Value, rule *tomldoc.Table) {
	name, at := "", v.Place()
	switch data := v.Any().(type) {
	case string:
		name = data
	case map[string]any:
		if t, _ := v.Table(); len(t.Keys()) == 1 {
			name = t.Keys()[0]
			at = t.KeyPlace(name)
		}
	}
	if f := lookup(name); f != nil && !f.Anytime {
		v.ErrorAt(at, "%q needs a segment; %s; without one there are %s", name, noSegment(rule, at), strings.Join(anytimeNames(), ", "))
	}
}

// noSegment says why there is none, in a message that stands at a place.
func noSegment(rule *tomldoc.Table, at tomldoc.Place) string {
	return fmt.Sprintf("a rule with \"at\" (%s) has none", rule.KeyPlace("at").From(at))
}

// segmentKeys are the names of the keys that ask for a segment.
func segmentKeys[T any](keys []key[T]) (names []string) {
	for _, k := range keys {
		if k.Segment {
			names = append(names, k.Name)
		}
	}
	return names
}

// anytimeNames are the actions that a rule with `at` may have.
func anytimeNames() (names []string) {
	for _, name := range faultNames() {
		if lookup(name).Anytime {
			names = append(names, name)
		}
	}
	return names
}
