// Package schema describes rule and lab files to editors, as a JSON schema
// (draft-07, which the TOML language servers understand). It is made from the
// tables that the files are read with, so it knows each key that the readers know.
//
// A schema cannot hold everything that `tcpmangle check` finds: conflicts between
// keys, names of rules that do not exist, states that a list excludes twice.
package schema

import (
	"bytes"
	"encoding/json"
	"maps"

	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/rules"
)

// node is a part of a schema.
type node map[string]any

// JSON is the schema of a rule or lab file as it stands in docs. The faults that it
// knows are those that are registered.
func JSON() []byte {
	top := node{
		"title": about(word, "what the experiment shows"),
		"seed":  about(node{"type": "integer", "minimum": 0}, "of every random decision"),
		"rule":  listOf(rule(), "a rule: which segments, how often, and what happens to them"),
	}
	for _, t := range lab.Tables() {
		table := object(t.Keys, t.Doc)
		if t.List {
			table = listOf(table, t.Doc)
		}
		top[t.Name] = table
	}
	refine(top)
	whole := node{
		"$schema":              "http://json-schema.org/draft-07/schema#",
		"title":                "tcpmangle rule or lab file",
		"type":                 "object",
		"additionalProperties": false,
		"properties":           top,
		"definitions":          node{"action": anyAction()},
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(whole); err != nil {
		panic(err) // it holds nothing that JSON cannot
	}
	return text.Bytes()
}

// refine puts in the tables within tables, which a KeyDoc only calls tables.
func refine(top node) {
	within(top, "lab")["link"] = object(lab.LinkKeys(), "what the base path does to every segment")
	within(top, "step")["when"] = object(lab.WhenKeys(), "once a connection is in these states, or a rule has fired")
	for _, side := range []string{"client", "server"} {
		within(top, side)["sysctl"] = node{"type": "object", "description": "of this host, by name"}
		within(top, side)["env"] = node{"type": "object", "additionalProperties": types["text"]}
	}
}

// within is the properties of a table, or of the elements of a list of tables.
func within(top node, table string) node {
	t := top[table].(node)
	if items, ok := t["items"]; ok {
		t = items.(node)
	}
	return t["properties"].(node)
}

func rule() node {
	r := object(append(rules.RuleKeys(), rules.LimitKeys()...), "")
	p := r["properties"].(node)
	p["match"] = object(rules.MatchKeys(), "all keys must hold; a list means any of")
	p["at"] = object(rules.AtKeys(), "a moment, in place of a segment")
	p["action"] = node{"$ref": "#/definitions/action"}
	p["actions"] = listOf(node{"$ref": "#/definitions/action"}, "done in order")
	model := object(rules.GilbertElliottKeys(), "a loss model with bursts")
	model["properties"].(node)["model"] = node{"const": "gilbert-elliott"}
	model["required"] = []string{"model", "p", "r"}
	p["probability"] = about(node{"anyOf": []node{chance, model}}, "the chance of each segment")
	r["anyOf"] = []node{{"required": []string{"action"}}, {"required": []string{"actions"}}}
	return r
}

// anyAction is a name, or a table with the name as its one key.
func anyAction() node {
	var bare []string
	tables := node{}
	for _, f := range rules.Faults() {
		params, needed := action(f)
		tables[f.Name] = params
		if len(needed) == 0 {
			bare = append(bare, f.Name)
		}
	}
	return node{"anyOf": []node{
		{"enum": bare},
		{"type": "object", "properties": tables, "additionalProperties": false, "minProperties": 1, "maxProperties": 1},
	}}
}

// action is what may stand behind the name of a fault: its parameters, or the
// primary one alone.
func action(f rules.FaultDoc) (n node, required []string) {
	params := node{}
	forms := []node{{"type": "object", "properties": params, "additionalProperties": false}}
	for _, p := range f.Params {
		params[p.Name] = about(param(p), p.Doc)
		if p.Required {
			required = append(required, p.Name)
		}
		if p.Primary {
			forms = append(forms, param(p))
		}
	}
	if required != nil {
		forms[0]["required"] = required
	}
	return about(node{"anyOf": forms}, f.Doc), required
}

func param(p rules.ParamDoc) node { return value(p.Type, p.Values, false) }

// object is a table with these keys and no others.
func object(keys []rules.KeyDoc, doc string) node {
	properties := node{}
	for _, k := range keys {
		properties[k.Name] = about(value(k.Type, k.Values, k.List), k.Doc)
	}
	return about(node{"type": "object", "properties": properties, "additionalProperties": false}, doc)
}

func listOf(items node, doc string) node { return about(node{"type": "array", "items": items}, doc) }

// about adds a description.
func about(n node, doc string) node {
	described := node{}
	maps.Copy(described, n)
	if doc != "" {
		described["description"] = doc
	}
	return described
}
