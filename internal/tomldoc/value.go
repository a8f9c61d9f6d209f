package tomldoc

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// A Value is what stands behind a key, or one element of a list there. Its
// readers report a mistake at the value and return false.
type Value struct {
	table *Table
	key   string
	node  *node
	data  any
}

// Any is the decoded value: string, int64, float64, bool, time.Time, a map for a
// table, a slice for a list.
func (v Value) Any() any { return v.data }

// Key is the name the value stands behind.
func (v Value) Key() string { return v.key }

// Place is where the value stands.
func (v Value) Place() Place { return v.table.doc.place(v.node.value) }

// Errorf reports a mistake at the value, whose cause %w may wrap.
func (v Value) Errorf(format string, args ...any) {
	v.ErrorAt(v.Place(), format, args...)
}

// ErrorAt is Errorf for a mistake that stands elsewhere, as a key within it does.
func (v Value) ErrorAt(at Place, format string, args ...any) {
	t := v.table
	t.doc.report(at, t.section, t.prefix+v.key, fmt.Errorf(format, args...))
}

// wrong reports a value of another type.
func (v Value) wrong(want string) {
	v.Errorf("must be %s, not %s", want, typeName(v.data))
}

func typeName(data any) string {
	switch data.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date or time"
	case map[string]any:
		return "a table"
	default:
		return "a list"
	}
}

// Text is the value as a string that is not empty.
func (v Value) Text() (string, bool) {
	text, ok := v.AnyText()
	if ok && text == "" {
		v.Errorf("must not be empty")
	}
	return text, text != ""
}

// AnyText is the value as a string, which may be empty.
func (v Value) AnyText() (string, bool) {
	text, ok := v.data.(string)
	if !ok {
		v.wrong("a string")
	}
	return text, ok
}

// Int is the value as an integer.
func (v Value) Int() (int64, bool) {
	switch n := v.data.(type) {
	case int64:
		return n, true
	case string:
		if _, err := strconv.ParseInt(n, 0, 64); err == nil {
			v.Errorf("must be an integer; write %s without quotes", n)
			return 0, false
		}
	}
	v.wrong("an integer")
	return 0, false
}

// Float is the value as a finite number; an integer will do.
func (v Value) Float() (float64, bool) {
	switch n := v.data.(type) {
	case int64:
		return float64(n), true
	case float64:
		if !math.IsNaN(n) && !math.IsInf(n, 0) {
			return n, true
		}
		v.Errorf("must be a finite number")
	case string:
		if _, err := strconv.ParseFloat(n, 64); err == nil {
			v.Errorf("must be a number; write %s without quotes", n)
			return 0, false
		}
		v.wrong("a number")
	default:
		v.wrong("a number")
	}
	return 0, false
}

// Bool is the value as true or false.
func (v Value) Bool() (value, ok bool) {
	value, ok = v.data.(bool)
	if !ok {
		v.wrong("true or false")
	}
	return value, ok
}

// Duration is the value as a duration, zero or more.
func (v Value) Duration() (time.Duration, bool) {
	switch n := v.data.(type) {
	case string:
		return parsed(v, n, ParseDuration)
	case int64:
		v.Errorf(`%d has no unit; write "%ds" or "%dms"`, n, n, n)
	default:
		v.wrong(`a duration like "200ms"`)
	}
	return 0, false
}

// Size is the value as a number of bytes, zero or more.
func (v Value) Size() (int64, bool) {
	switch n := v.data.(type) {
	case string:
		return parsed(v, n, ParseSize)
	case int64:
		if n >= 0 {
			return n, true
		}
		v.Errorf("%d is negative", n)
	default:
		v.wrong(`a size like 1500 or "64KiB"`)
	}
	return 0, false
}

// Rate is the value as bits per second, more than zero.
func (v Value) Rate() (int64, bool) {
	switch n := v.data.(type) {
	case string:
		return parsed(v, n, ParseRate)
	case int64:
		v.Errorf(`%d has no unit; write "%dkbit" or "%dkB/s"`, n, n, n)
	default:
		v.wrong(`a rate like "10mbit"`)
	}
	return 0, false
}

// Probability is the value as a chance from 0 to 1.
func (v Value) Probability() (float64, bool) {
	switch n := v.data.(type) {
	case string:
		return parsed(v, n, ParseProbability)
	case int64, float64:
		p, ok := v.Float()
		if ok && (p < 0 || p > 1) {
			v.Errorf("%v is not from 0 to 1; a percentage is written \"5%%\"", n)
			return 0, false
		}
		return p, ok
	}
	v.wrong(`a probability like 0.05 or "5%"`)
	return 0, false
}

func parsed[T any](v Value, text string, parse func(string) (T, error)) (T, bool) {
	value, err := parse(text)
	if err != nil {
		v.Errorf("%w", err)
	}
	return value, err == nil
}

// Strings is the value as a list of strings; a single string will do.
func (v Value) Strings() ([]string, bool) {
	var list []string
	items := v.List()
	for _, item := range items {
		if text, ok := item.Text(); ok {
			list = append(list, text)
		}
	}
	return list, len(items) > 0 && len(list) == len(items)
}

// List is the elements of the value, or the value itself if it is no list. An
// empty list is a mistake: no key of ours could mean it.
func (v Value) List() []Value {
	switch list := v.data.(type) {
	case []any:
		return items(v, list)
	case []map[string]any:
		return items(v, list)
	}
	return []Value{v}
}

func items[T any](v Value, list []T) []Value {
	if len(list) == 0 {
		v.Errorf("the list is empty")
	}
	values := make([]Value, len(list))
	for i, data := range list {
		n := v.node
		if i < len(v.node.items) {
			n = v.node.items[i]
		}
		values[i] = Value{table: v.table, key: v.key, node: n, data: data}
	}
	return values
}

// Table is the value as a table.
func (v Value) Table() (*Table, bool) {
	values, ok := v.data.(map[string]any)
	if !ok {
		v.wrong("a table")
		return nil, false
	}
	return v.table.below(v, values), true
}
