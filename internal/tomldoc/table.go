package tomldoc

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Table is one table of a document, however it is written. Its readers return
// false where the key is absent or wrong; only the latter is a mistake, and reported.
type Table struct {
	doc     *Doc
	node    *node
	values  map[string]any
	section Section
	prefix  string          // of its keys in messages: "match."
	asked   map[string]bool // the keys that readers asked for
	names   []string        // the same, in order
}

// open makes the Table of a node.
func (d *Doc) open(n *node, values map[string]any) *Table {
	n.table = &Table{doc: d, node: n, values: values, asked: make(map[string]bool)}
	d.tables = append(d.tables, n.table)
	return n.table
}

// below is the Table of a value in t, always the same one: what was asked for must
// not be forgotten.
func (t *Table) below(v Value, values map[string]any) *Table {
	if v.node.table == nil {
		below := t.doc.open(v.node, values)
		below.section = t.section
		below.Label(t.prefix + v.key)
	}
	return v.node.table
}

// In declares the table, and those that are opened through it from now on, to be
// the section that messages name.
func (t *Table) In(section Section) {
	t.section, t.prefix = section, ""
}

// Section is what In declared, also for a parent.
func (t *Table) Section() Section { return t.section }

// Label changes what messages put before the table's keys: with "hold" the key
// timeout is "hold.timeout", with "" it is "timeout".
func (t *Table) Label(label string) {
	t.prefix = label
	if label != "" {
		t.prefix += "."
	}
}

func (t *Table) label() string { return strings.TrimSuffix(t.prefix, ".") }

// Keys lists the table's keys in the order of the file.
func (t *Table) Keys() []string {
	keys := make([]string, 0, len(t.values))
	for _, name := range t.node.names {
		if _, ok := t.values[name]; ok {
			keys = append(keys, name)
		}
	}
	return keys
}

// Has tells whether the key is there, and counts as asking for it.
func (t *Table) Has(key string) bool {
	_, ok := t.Value(key)
	return ok
}

// Skip declares keys as known without reading them or what is below.
func (t *Table) Skip(keys ...string) {
	for _, key := range keys {
		t.ask(key)
	}
}

func (t *Table) ask(key string) {
	if !t.asked[key] {
		t.asked[key] = true
		t.names = append(t.names, key)
	}
}

// Asked lists the keys that readers have asked for so far, in order: what they would
// have known.
func (t *Table) Asked() []string { return slices.Clone(t.names) }

// Value takes a key's value as it is; false means that the key is absent.
func (t *Table) Value(key string) (Value, bool) {
	t.ask(key)
	data, ok := t.values[key]
	if !ok {
		return Value{}, false
	}
	return Value{table: t, key: key, node: t.node.child(key, t.node.value), data: data}, true
}

// Text reads a string that is not empty.
func (t *Table) Text(key string) (string, bool) { return read(t, key, Value.Text) }

// AnyText reads a string, which may be empty.
func (t *Table) AnyText(key string) (string, bool) { return read(t, key, Value.AnyText) }

// Int reads an integer.
func (t *Table) Int(key string) (int64, bool) { return read(t, key, Value.Int) }

// Float reads a number, an integer too.
func (t *Table) Float(key string) (float64, bool) { return read(t, key, Value.Float) }

// Bool reads true or false.
func (t *Table) Bool(key string) (bool, bool) { return read(t, key, Value.Bool) }

// Duration reads a duration, a string with a unit, zero or more.
func (t *Table) Duration(key string) (time.Duration, bool) { return read(t, key, Value.Duration) }

// Size reads a number of bytes: an integer or a string like "64KiB".
func (t *Table) Size(key string) (int64, bool) { return read(t, key, Value.Size) }

// Rate reads bits per second: "10mbit" or "1MB/s".
func (t *Table) Rate(key string) (int64, bool) { return read(t, key, Value.Rate) }

// Probability reads a chance from 0 to 1: 0.05 or "5%".
func (t *Table) Probability(key string) (float64, bool) { return read(t, key, Value.Probability) }

// Strings reads a string or a list of strings, none of them empty.
func (t *Table) Strings(key string) ([]string, bool) { return read(t, key, Value.Strings) }

// Table opens a table, written as [key], inline or by dotted keys.
func (t *Table) Table(key string) (*Table, bool) { return read(t, key, Value.Table) }

// Tables opens the elements of an array of tables, written as [[key]] or inline.
func (t *Table) Tables(key string) []*Table {
	v, ok := t.Value(key)
	if !ok {
		return nil
	}
	if _, ok := v.data.(map[string]any); ok {
		v.Errorf("there may be several; write [[%s]]", key)
		return nil
	}
	var tables []*Table
	for _, item := range v.List() {
		if table, ok := item.Table(); ok {
			tables = append(tables, table)
		}
	}
	return tables
}

func read[T any](t *Table, key string, as func(Value) (T, bool)) (none T, ok bool) {
	v, ok := t.Value(key)
	if !ok {
		return none, false
	}
	return as(v)
}

// Wrong tells whether a mistake has been reported at the key or in its value.
func (t *Table) Wrong(key string) bool {
	return slices.ContainsFunc(t.doc.errs, func(e *Error) bool { return e.Section == t.section && e.Key == t.prefix+key })
}

// Place is the table's header, or its inline text.
func (t *Table) Place() Place { return t.doc.place(t.node.value) }

// KeyPlace is where the key's name stands, or the table's place if it is absent.
func (t *Table) KeyPlace(key string) Place {
	if n, ok := t.node.children[key]; ok {
		return t.doc.place(n.key)
	}
	return t.Place()
}

// ValuePlace is where the key's value stands, or the table's place if it is absent.
func (t *Table) ValuePlace(key string) Place {
	if n, ok := t.node.children[key]; ok {
		return t.doc.place(n.value)
	}
	return t.Place()
}

// Errorf reports a mistake at a key's name, whose cause %w may wrap. An empty key
// means the table itself.
func (t *Table) Errorf(key, format string, args ...any) {
	at, label := t.Place(), t.label()
	if key != "" {
		at, label = t.KeyPlace(key), t.prefix+key
	}
	t.doc.report(at, t.section, label, fmt.Errorf(format, args...))
}
