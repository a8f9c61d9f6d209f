package rules

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Options say more about a fault than its parameters do.
type Options struct {
	// Terminal: the fault decides the segment's fate, so no later action of the
	// rule and no later rule is reached.
	Terminal bool
	// Anytime: the fault may act on a connection without a segment in hand, so a
	// rule with `at` may have it.
	Anytime bool
}

// A fault is a registered action.
type fault struct {
	name, doc string
	Options
	newParams func() any // nil if it takes none
	params    []param
}

var registry struct {
	sync.Mutex
	faults map[string]*fault
}

// Register makes a fault known under the name that rule files use; doc is one
// sentence for the reference. It is meant for init functions.
//
// newParams returns a pointer to a fresh struct, or is nil if the fault takes no
// parameters. Exported fields with the tag `rule` are its parameters:
//
//	By        time.Duration  `rule:"by,primary" doc:"how much later" required:"true"`
//	Jitter    time.Duration  `rule:"jitter" doc:"spread around it" default:"0s"`
//	OnTimeout string         `rule:"on_timeout" doc:"what then" enum:"release,drop" default:"release"`
//	TTL       *int           `rule:"ttl" doc:"hop limit" min:"1" max:"255"`
//
// Types are bool, integers, floats, string, time.Duration, Size, Rate, Probability,
// anything that implements encoding.TextUnmarshaler, and slices of and pointers to
// these; a nil pointer means that the file did not say. Numbers and durations are
// not negative unless min says so, strings not empty unless empty:"true" does. One parameter may be primary: { delay = "50ms" }
// is short for { delay = { by = "50ms" } }.
//
// A struct that implements Checker is asked once all its fields are sound.
//
// Register panics if the name is taken or a tag makes no sense: that is a bug of
// the fault, not of a rule file.
func Register(name, doc string, newParams func() any, options ...Options) {
	f := &fault{name: name, doc: doc, newParams: newParams}
	for _, o := range options {
		f.Terminal = f.Terminal || o.Terminal
		f.Anytime = f.Anytime || o.Anytime
	}
	if newParams != nil {
		f.params = paramsOf(name, newParams())
	}
	registry.Lock()
	defer registry.Unlock()
	if registry.faults == nil {
		registry.faults = make(map[string]*fault)
	}
	if registry.faults[name] != nil {
		panic(fmt.Sprintf("rules: fault %q registered twice", name))
	}
	registry.faults[name] = f
}

// A Checker is a parameter struct with conditions across its fields.
type Checker interface {
	// Check lists what is wrong with parameters that are each sound by themselves.
	Check() []Problem
}

// A Problem is a conflict between parameters, or a missing combination.
type Problem struct {
	Key   string // the parameter that is wrong, "" for the action as a whole
	Other string // the parameter it conflicts with, if there is one
	Err   string // what is wrong; by default that the two exclude each other
}

// A FaultDoc is one action of the reference.
type FaultDoc struct {
	Name, Doc string
	Terminal  bool // ends the walk
	Anytime   bool // a rule with `at` may have it
	Params    []ParamDoc
}

// A ParamDoc is one parameter of an action.
type ParamDoc struct {
	Name, Doc string
	Type      string // "duration", "integer", "list of string" ...
	Default   string // as a file would write it; empty if there is none
	Min, Max  string // bounds, empty if there are none
	Values    []string
	Required  bool
	Primary   bool // may be written in place of the table of parameters
}

// Faults is the reference of the registered actions, by name.
func Faults() []FaultDoc {
	var all []FaultDoc
	for _, name := range faultNames() {
		f := lookup(name)
		doc := FaultDoc{Name: f.name, Doc: f.doc, Terminal: f.Terminal, Anytime: f.Anytime}
		for _, p := range f.params {
			doc.Params = append(doc.Params, p.ParamDoc)
		}
		all = append(all, doc)
	}
	return all
}

// lookup is the fault of that name, or nil.
func lookup(name string) *fault {
	registry.Lock()
	defer registry.Unlock()
	return registry.faults[name]
}

func faultNames() []string {
	registry.Lock()
	defer registry.Unlock()
	var names []string
	for name := range registry.faults {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	return names
}

// primary is the parameter that may stand alone, or nil.
func (f *fault) primary() *param {
	for i := range f.params {
		if f.params[i].Primary {
			return &f.params[i]
		}
	}
	return nil
}

// Terminal tells whether the fault of that name ends the walk.
func Terminal(name string) bool {
	f := lookup(name)
	return f != nil && f.Terminal
}
