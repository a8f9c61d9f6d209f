package rules

import (
	"encoding"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// set reads a value of the file into a field, and reports whether it was sound.
func (p *param) set(field reflect.Value, v tomldoc.Value) bool {
	switch {
	case field.Kind() == reflect.Pointer:
		field.Set(reflect.New(field.Type().Elem()))
		return p.set(field.Elem(), v)
	case isText(field.Type()):
		return p.setText(field.Addr().Interface().(encoding.TextUnmarshaler), v)
	case field.Kind() == reflect.Slice:
		return p.setList(field, v)
	case field.Kind() == reflect.String:
		return p.setString(field, v)
	case field.Kind() == reflect.Bool:
		b, ok := v.Bool()
		field.SetBool(b)
		return ok
	}
	return p.setNumber(field, v) && p.inBounds(field, v)
}

// setText reads a string, or an integer as its digits.
func (p *param) setText(into encoding.TextUnmarshaler, v tomldoc.Value) bool {
	if n, ok := v.Any().(int64); ok {
		return unmarshal(into, strconv.FormatInt(n, 10), v)
	}
	text, ok := v.Text()
	return ok && unmarshal(into, text, v)
}

func unmarshal(into encoding.TextUnmarshaler, text string, v tomldoc.Value) bool {
	err := into.UnmarshalText([]byte(text))
	if err != nil {
		v.Errorf("%w", err)
	}
	return err == nil
}

func (p *param) setList(field reflect.Value, v tomldoc.Value) bool {
	items := v.List()
	list, sound := reflect.MakeSlice(field.Type(), len(items), len(items)), len(items) > 0
	for i, item := range items {
		sound = p.set(list.Index(i), item) && sound
	}
	field.Set(list)
	return sound
}

func (p *param) setString(field reflect.Value, v tomldoc.Value) bool {
	read := v.Text
	if p.empty {
		read = v.AnyText
	}
	text, ok := read()
	if ok && p.Values != nil && !slices.Contains(p.Values, text) {
		v.Errorf("%w", unknown("value", text, p.Values))
		return false
	}
	field.SetString(text)
	return ok
}

// setNumber reads a field of a numeric kind by the type it has.
func (p *param) setNumber(field reflect.Value, v tomldoc.Value) (ok bool) {
	var n int64
	switch field.Interface().(type) {
	case time.Duration:
		var d time.Duration
		d, ok = v.Duration()
		n = int64(d)
	case Size:
		n, ok = v.Size()
	case Rate:
		n, ok = v.Rate()
	case Probability:
		var f float64
		f, ok = v.Probability()
		field.SetFloat(f)
		return ok
	default:
		if field.CanFloat() {
			var f float64
			f, ok = v.Float()
			field.SetFloat(f)
			return ok
		}
		n, ok = v.Int()
	}
	return ok && setInt(field, n, v)
}

// setInt sets an integer of any width, if it fits.
func setInt(field reflect.Value, n int64, v tomldoc.Value) bool {
	if field.CanUint() {
		if n < 0 {
			v.Errorf("%d is negative", n)
			return false
		}
		field.SetUint(uint64(n))
		return fits(field.OverflowUint(uint64(n)), n, v)
	}
	field.SetInt(n)
	return fits(field.OverflowInt(n), n, v)
}

func fits(overflow bool, n int64, v tomldoc.Value) bool {
	if overflow {
		v.Errorf("%d is too large", n)
	}
	return !overflow
}

func (p *param) inBounds(field reflect.Value, v tomldoc.Value) bool {
	switch n := number(field); {
	case p.hasMin && n < p.min:
		v.Errorf("must be at least %s", p.Min)
	case p.hasMax && n > p.max:
		v.Errorf("must be at most %s", p.Max)
	default:
		return true
	}
	return false
}
