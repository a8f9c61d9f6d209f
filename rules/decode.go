package rules

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// labKeys are what a lab file holds besides rules; package lab reads them.
var labKeys = []string{"lab", "client", "server", "expect", "step", "proxy"}

// Parse reads the text of one file. The error is of type Errors. A lab file will
// do: what only the lab understands is passed over.
func Parse(file, text string) (*Set, error) {
	return ParseAll(Text{file, text})
}

// Load reads files in order into one set. The error is of type Errors unless a file
// cannot be read. The last file that has a title or a seed sets it.
func Load(files ...string) (*Set, error) {
	texts := make([]Text, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		texts[i] = Text{file, string(text)}
	}
	return ParseAll(texts...)
}

// A Text is a file that was read.
type Text struct{ File, Text string }

// ParseAll is Load for files that were read already. The error is of type Errors.
func ParseAll(texts ...Text) (*Set, error) {
	d := newDecoder()
	var errs Errors
	for _, t := range texts {
		errs = append(errs, d.whole(tomldoc.Parse(t.File, t.Text))...)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return d.set, nil
}

// MustParse is Parse for rules written into a program; it panics on a mistake.
// Messages call the file "rules".
func MustParse(text string) *Set {
	set, err := Parse("rules", text)
	if err != nil {
		panic(err)
	}
	return set
}

// Decode reads the rules of a document whose other tables the caller reads. It
// leaves its mistakes in the document, and Finish to the caller; the set is to be
// used only if DocErrors is empty in the end.
func Decode(doc *tomldoc.Doc) *Set {
	d := newDecoder()
	d.document(doc)
	return d.set
}

// A decoder reads documents into one set.
type decoder struct {
	set    *Set
	places map[string]tomldoc.Place // where each name was given
}

func newDecoder() *decoder {
	return &decoder{set: &Set{byName: make(map[string]*Rule)}, places: make(map[string]tomldoc.Place)}
}

// whole reads a document that is ours alone.
func (d *decoder) whole(doc *tomldoc.Doc) Errors {
	d.document(doc)
	doc.Root().Skip(labKeys...)
	doc.Finish()
	return DocErrors(doc)
}

func (d *decoder) document(doc *tomldoc.Doc) {
	root := doc.Root()
	if title, ok := root.Text("title"); ok {
		d.set.Title = title
	}
	if v, ok := root.Value("seed"); ok {
		d.seed(v)
	}
	for i, t := range root.Tables("rule") {
		d.rule(doc.File(), i+1, t)
	}
}

func (d *decoder) seed(v tomldoc.Value) {
	n, ok := v.Int()
	if ok && n < 0 {
		v.Errorf("must not be negative")
	}
	d.set.Seed, d.set.HasSeed = uint64(n), ok
}

// rule reads the n-th rule of a file.
func (d *decoder) rule(file string, n int, t *tomldoc.Table) {
	r := &Rule{Index: len(d.set.Rules), File: file, Line: t.Place().Line, Enabled: true}
	d.name(r, n, t)
	if match, ok := t.Table("match"); ok {
		r.Match = readMatch(match)
		misplaced(match, append(names(ruleKeys), names(LimitKeys())...), "belongs beside match, not in it")
	}
	misplaced(t, names(MatchKeys()), "belongs in match = { ... }")
	r.Limits = readLimits(t)
	r.Actions = readActions(t)
	if at, ok := t.Table("at"); ok {
		r.At = readAt(at)
		withoutSegment(t)
	}
	if enabled, ok := t.Bool("enabled"); ok {
		r.Enabled = enabled
	}
	r.Optional, _ = t.Bool("optional")
	d.set.Rules = append(d.set.Rules, r)
}

// misplaced reports keys of another table.
func misplaced(t *tomldoc.Table, keys []string, where string) {
	for _, key := range t.Keys() {
		if slices.Contains(keys, key) {
			t.Skip(key)
			t.Errorf(key, "%s", where)
		}
	}
}

// name gives the rule its name, and its mistakes the section they are in.
func (d *decoder) name(r *Rule, n int, t *tomldoc.Table) {
	section := tomldoc.Section{Kind: "rule", Index: n}
	t.In(section)
	r.Name = fmt.Sprintf("rule-%d", r.Index+1)
	v, given := t.Value("name")
	if !given {
		if first, free := d.claim(r, t.Place()); !free {
			t.Errorf("", "has no name, and %q is already that of the rule at %s", r.Name, first)
		}
		return
	}
	name, ok := v.Text()
	switch {
	case !ok:
		return
	case !isName(name):
		v.Errorf("%q is not a name; it may have letters, digits, _ . and -", name)
		return
	}
	section.Name, r.Name = name, name
	t.In(section)
	if first, free := d.claim(r, v.Place()); !free {
		v.Errorf("%q is already the name of the rule at %s", name, first)
	}
}

// claim enters the rule's name. Where it is taken, the answer says by which place.
func (d *decoder) claim(r *Rule, at tomldoc.Place) (first string, free bool) {
	if place, taken := d.places[r.Name]; taken {
		return place.From(at), false
	}
	d.places[r.Name] = at
	d.set.byName[r.Name] = r
	return "", true
}

func isName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-')
	}) < 0
}
