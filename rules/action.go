package rules

import (
	"fmt"
	"reflect"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// readActions reads `action` or `actions` of a rule.
func readActions(t *tomldoc.Table) []Action {
	one, hasOne := t.Value("action")
	many, hasMany := t.Value("actions")
	switch {
	case hasOne && hasMany:
		exclude(t, "actions", "action")
	case hasMany:
		return readActionList(many)
	case hasOne:
		if a, ok := readSingleAction(one); ok {
			return []Action{a}
		}
	default:
		t.Errorf("", `missing "action"`)
	}
	return nil
}

func readSingleAction(v tomldoc.Value) (Action, bool) {
	switch v.Any().(type) {
	case []any, []map[string]any:
		v.Errorf("must be one action; for several write actions = [...]")
		return Action{}, false
	}
	return readAction(v)
}

// readActionList reads several actions. What stands behind one that ends the walk
// is never reached.
func readActionList(v tomldoc.Value) (actions []Action) {
	switch v.Any().(type) {
	case []any, []map[string]any:
	default:
		v.Errorf("must be a list; for one action write action = ...")
		return nil
	}
	ended := ""
	for _, item := range v.List() {
		a, ok := readAction(item)
		if ended != "" {
			item.Errorf("never reached: %q ends the walk", ended)
		}
		if !ok {
			continue
		}
		if lookup(a.Name).Terminal && ended == "" {
			ended = a.Name
		}
		actions = append(actions, a)
	}
	return actions
}

// readAction reads "drop" or { hold = { until = "peer-fin" } }.
func readAction(v tomldoc.Value) (Action, bool) {
	switch data := v.Any().(type) {
	case string:
		return readBareAction(v, data)
	case map[string]any:
		t, _ := v.Table()
		t.Label("")
		return readActionTable(v, t)
	}
	v.Errorf(`must be the name of an action or a table like { delay = { by = "50ms" } }`)
	return Action{}, false
}

// readBareAction makes an action without parameters.
func readBareAction(v tomldoc.Value, name string) (Action, bool) {
	f := lookup(name)
	if f == nil {
		v.Errorf("%w", unknown("action", name, faultNames()))
		return Action{}, false
	}
	r := f.reader(v.Place())
	r.fail = func(message string) { v.Errorf("%s: %s", name, message) }
	return r.finish()
}

// readActionTable reads the one key of an action's table.
func readActionTable(action tomldoc.Value, t *tomldoc.Table) (Action, bool) {
	name, ok := soleKey(action, t)
	if !ok {
		return Action{}, false
	}
	v, _ := t.Value(name)
	f := lookup(name)
	if f == nil {
		action.ErrorAt(t.KeyPlace(name), "%w", unknown("action", name, faultNames()))
		return Action{}, false
	}
	r := f.reader(t.KeyPlace(name))
	r.fail = func(message string) { t.Errorf(name, "%s", message) }
	if _, ok := v.Any().(map[string]any); ok {
		params, _ := v.Table()
		r.readTable(params)
		return r.finish()
	}
	r.readPrimary(v)
	return r.finish()
}

// soleKey is the name of the one action in a table. More than one key is two
// actions, or parameters that were written too far out.
func soleKey(action tomldoc.Value, t *tomldoc.Table) (string, bool) {
	keys := t.Keys()
	if len(keys) == 0 {
		action.Errorf("the table names no action")
		return "", false
	}
	t.Skip(keys...)
	if len(keys) == 1 {
		return keys[0], true
	}
	first, second := keys[0], keys[1]
	if lookup(second) != nil {
		action.ErrorAt(t.KeyPlace(second), "a table holds one action; for several write actions = [...]")
	} else {
		action.ErrorAt(t.KeyPlace(second), "parameters go into the action's own table: { %s = { %s = ... } }", first, second)
	}
	return "", false
}

// A paramReader fills the parameters of one action.
type paramReader struct {
	fault *fault
	at    tomldoc.Place
	into  reflect.Value // the struct; invalid if there are no parameters
	given map[string]bool
	sound bool
	table *tomldoc.Table       // of the parameters, if they have one
	fail  func(message string) // reports at the action
}

func (f *fault) reader(at tomldoc.Place) *paramReader {
	r := &paramReader{fault: f, at: at, given: make(map[string]bool), sound: true}
	if f.newParams == nil {
		return r
	}
	r.into = reflect.ValueOf(f.newParams()).Elem()
	for _, p := range f.params {
		if p.fallback.IsValid() {
			r.into.Field(p.field).Set(p.fallback)
		}
	}
	return r
}

// readTable reads { by = "50ms", jitter = "10ms" }.
func (r *paramReader) readTable(t *tomldoc.Table) {
	r.table = t
	for i := range r.fault.params {
		p := &r.fault.params[i]
		if v, ok := t.Value(p.Name); ok {
			r.read(p, v)
		}
	}
}

// readPrimary reads the value that stands in place of the table.
func (r *paramReader) readPrimary(v tomldoc.Value) {
	p := r.fault.primary()
	switch {
	case p != nil:
		r.read(p, v)
		return
	case len(r.fault.params) == 0:
		v.Errorf("takes no parameters; write %q alone", r.fault.name)
	default:
		v.Errorf("must be a table of parameters: { %s = ... }", r.fault.params[0].Name)
	}
	r.sound = false
}

func (r *paramReader) read(p *param, v tomldoc.Value) {
	r.given[p.Name] = true
	r.sound = p.set(r.into.Field(p.field), v) && r.sound
}

// finish looks for what is missing and what does not go together.
func (r *paramReader) finish() (Action, bool) {
	for _, p := range r.fault.params {
		if p.Required && !r.given[p.Name] && r.sound {
			r.fail(fmt.Sprintf("missing %q: %s", p.Name, p.Doc))
			r.sound = false
		}
	}
	a := Action{Name: r.fault.name, Line: r.at.Line, Col: r.at.Col}
	if !r.into.IsValid() {
		return a, r.sound
	}
	a.Params = r.into.Addr().Interface()
	if checker, ok := a.Params.(Checker); ok && r.sound {
		for _, p := range checker.Check() {
			r.report(p)
			r.sound = false
		}
	}
	return a, r.sound
}

// report puts a problem at its key, or at the action if the file does not have it.
func (r *paramReader) report(p Problem) {
	message := p.Err
	if message == "" {
		message = fmt.Sprintf("%q and %q exclude each other", p.Key, p.Other)
	}
	switch {
	case r.table == nil || !r.given[p.Key]:
		r.fail(message)
	case r.given[p.Other] && p.Err == "":
		exclude(r.table, p.Key, p.Other)
	case r.given[p.Other]:
		here, other := r.table.KeyPlace(p.Key), r.table.KeyPlace(p.Other)
		r.table.Errorf(p.Key, "%s (%q: %s)", message, p.Other, other.From(here))
	default:
		r.table.Errorf(p.Key, "%s", message)
	}
}
