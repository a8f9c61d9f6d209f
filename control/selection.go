package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

// Filters and actions of calls are read by the reader of rule files, so that they take
// the same words and refuse the same mistakes: a call is a rule of one line.

// A selection is a filter made ready.
type selection struct {
	match  rules.Match
	either conntrack.StateSet // one endpoint is in one of these; empty: any
	closed bool
}

func newSelection(f client.Filter) (*selection, error) {
	match, err := readMatch(f, f.ClientState)
	if err != nil {
		return nil, err
	}
	either, err := readMatch(client.Filter{}, f.State)
	if e, ok := errors.AsType[*client.Error](err); ok {
		e.Message = strings.ReplaceAll(e.Message, "client_state: ", "state: ")
	}
	if err != nil {
		return nil, err
	}
	return &selection{match, either.ClientState, f.Closed}, nil
}

// readMatch reads a filter as the match of a rule.
func readMatch(f client.Filter, clientState string) (rules.Match, error) {
	var keys []string
	for _, k := range []struct{ key, value string }{
		{"port", f.Port}, {"client", f.Client}, {"server", f.Server}, {"tag", f.Tag},
		{"client_state", clientState}, {"server_state", f.ServerState},
	} {
		if k.value != "" {
			keys = append(keys, k.key+" = "+alternatives(k.value))
		}
	}
	set, err := parseLine(fmt.Sprintf("match = { %s }\naction = \"pass\"", strings.Join(keys, ", ")))
	if err != nil {
		return rules.Match{}, err
	}
	return set.Rules[0].Match, nil
}

// alternatives is a list in TOML of what stands between commas.
func alternatives(value string) string {
	var list []string
	for part := range strings.SplitSeq(value, ",") {
		list = append(list, quoted(strings.TrimSpace(part)))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// quoted is a text as JSON writes it, which TOML reads as well.
func quoted(text string) string {
	out, _ := json.Marshal(text) // a string always marshals
	return string(out)
}

func (s *selection) selects(v *engine.ConnView) bool {
	m := &s.match
	switch {
	case !s.closed && v.Closed():
		return false
	case s.either != 0 && !s.either.Has(v.ClientState) && !s.either.Has(v.ServerState),
		m.ClientState != 0 && !m.ClientState.Has(v.ClientState),
		m.ServerState != 0 && !m.ServerState.Has(v.ServerState):
		return false
	case !m.Port.Match(int64(v.Server.Port())), !m.Client.Match(v.Client), !m.Server.Match(v.Server):
		return false
	}
	return m.Tags == nil || slices.ContainsFunc(m.Tags, v.HasTag)
}

// nearly tells whether the filter would select a connection that was in other states.
func (s *selection) nearly(v *engine.ConnView) bool {
	near := *s
	near.either, near.match.ClientState, near.match.ServerState, near.closed = 0, 0, 0, true
	return near.selects(v)
}

// keys are those of the filter that are not about states.
func (s *selection) keys() (names []string) {
	m := &s.match
	for _, key := range []struct {
		name  string
		given bool
	}{{"port", m.Port != nil}, {"client", m.Client != nil}, {"server", m.Server != nil}, {"tag", m.Tags != nil}} {
		if key.given {
			names = append(names, key.name)
		}
	}
	return names
}

// byHandActions are those that can be done by a call: they need no segment.
var byHandActions = func() (names []string) {
	for _, f := range rules.Faults() {
		if f.Anytime {
			names = append(names, f.Name)
		}
	}
	return names
}()

// readAction makes an action of a rule file out of its name and parameters.
func readAction(name string, params map[string]any) (rules.Action, error) {
	if !slices.Contains(byHandActions, name) {
		return rules.Action{}, refuse(http.StatusNotFound, "%q is nothing that a call can do to a connection; there is %s",
			name, strings.Join(byHandActions, ", "))
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(params)) {
		value, err := tomlValue(params[key])
		if err != nil {
			return rules.Action{}, refuse(http.StatusBadRequest, "%s.%s: %v", name, key, err)
		}
		keys = append(keys, quoted(key)+" = "+value)
	}
	set, err := parseLine(fmt.Sprintf("action = { %s = { %s } }", name, strings.Join(keys, ", ")))
	if err != nil {
		return rules.Action{}, err
	}
	return set.Rules[0].Actions[0], nil
}

// tomlValue writes what JSON has given as TOML.
func tomlValue(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return quoted(v), nil
	case json.Number, bool:
		return fmt.Sprint(v), nil
	case []any:
		var list []string
		for _, item := range v {
			text, err := tomlValue(item)
			if err != nil {
				return "", err
			}
			list = append(list, text)
		}
		return "[" + strings.Join(list, ", ") + "]", nil
	}
	return "", errors.New("must be a string, a number, true, false or a list")
}

// ofTheCall is where a mistake says that another key of a call stands.
const ofTheCall = " (line 3)"

// parseLine reads a rule made from a call. Its mistakes have no place, so the answer
// only says which key they are about.
func parseLine(text string) (*rules.Set, error) {
	set, err := rules.Parse("call", "[[rule]]\nname = \"call\"\n"+text)
	mistakes, ok := errors.AsType[rules.Errors](err)
	if !ok {
		return set, err
	}
	var lines []string
	for _, m := range mistakes {
		key := strings.TrimPrefix(strings.TrimPrefix(m.Key, "match."), "action.")
		message := strings.ReplaceAll(m.Err.Error(), ofTheCall, "")
		lines = append(lines, strings.TrimPrefix(key+": "+message, ": "))
	}
	return nil, refuse(http.StatusBadRequest, "%s", strings.Join(lines, "; "))
}
