package rules

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// Size is a number of bytes: 1500 or "64KiB".
type Size int64

// Rate is a number of bits per second: "10mbit" or "1MB/s".
type Rate int64

// BytesPerSecond is the rate in the unit of payloads.
func (r Rate) BytesPerSecond() float64 { return float64(r) / 8 }

// Probability is a chance from 0 to 1: 0.05 or "5%".
type Probability float64

// A param is one parameter of a fault: a tagged field of its struct.
type param struct {
	ParamDoc
	field    int
	fallback reflect.Value // of the tag `default`; invalid if there is none
	min, max float64
	hasMin   bool
	hasMax   bool
	empty    bool // of a string: it may be empty
}

// paramsOf reads the tags of a parameter struct and panics where they make no sense.
func paramsOf(fault string, params any) []param {
	typ := reflect.TypeOf(params)
	if typ == nil || typ.Kind() != reflect.Pointer || typ.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("rules: fault %q: parameters are a pointer to a struct, not %T", fault, params))
	}
	var all []param
	for i := range typ.Elem().NumField() {
		field := typ.Elem().Field(i)
		tag, ok := field.Tag.Lookup("rule")
		if !ok {
			continue
		}
		p := param{field: i}
		p.Name, p.Primary = cutPrimary(tag)
		p.describe(field)
		if err := p.prepare(field); err != "" {
			panic(fmt.Sprintf("rules: fault %q: parameter %q: %s", fault, p.Name, err))
		}
		if twice(all, p) {
			panic(fmt.Sprintf("rules: fault %q: two parameters %q, or two primary ones", fault, p.Name))
		}
		all = append(all, p)
	}
	return all
}

func twice(all []param, p param) bool {
	return slices.ContainsFunc(all, func(q param) bool { return q.Name == p.Name || q.Primary && p.Primary })
}

func cutPrimary(tag string) (name string, primary bool) {
	name, primary = strings.CutSuffix(tag, ",primary")
	return name, primary
}

// describe fills in the reference.
func (p *param) describe(field reflect.StructField) {
	tag := field.Tag
	p.Doc, p.Default = tag.Get("doc"), tag.Get("default")
	p.Min, p.Max = tag.Get("min"), tag.Get("max")
	p.Required = tag.Get("required") == "true"
	p.Type = typeWord(field.Type)
	if p.empty = tag.Get("empty") == "true"; p.empty {
		p.Type = "text"
	}
	switch zero := reflect.New(element(field.Type)).Interface().(type) {
	case interface{ Values() []string }:
		p.Values = zero.Values()
	default:
		if enum := tag.Get("enum"); enum != "" {
			p.Values = strings.Split(enum, ",")
		}
	}
}

// prepare reads default and bounds with the readers that files are read with. The
// answer says what is wrong, or nothing.
func (p *param) prepare(field reflect.StructField) (wrong string) {
	if p.Type == "" {
		return fmt.Sprintf("a field of type %v cannot be read", field.Type)
	}
	if !field.IsExported() {
		return "the field is not exported"
	}
	if p.Min != "" {
		p.min, p.hasMin = p.bound(field.Type, p.Min, &wrong), true
	}
	if p.Max != "" {
		p.max, p.hasMax = p.bound(field.Type, p.Max, &wrong), true
	}
	if _, readerChecks := typeWords[element(field.Type)]; !readerChecks && !p.hasMin && isNumeric(element(field.Type)) {
		p.hasMin, p.Min = true, "0"
	}
	if p.Default != "" && wrong == "" {
		p.fallback = p.literal(field.Type, p.Default, &wrong)
	}
	if p.Required && p.Default != "" {
		return "required with a default"
	}
	return wrong
}

func (p *param) bound(typ reflect.Type, text string, wrong *string) float64 {
	if !isNumeric(element(typ)) {
		*wrong = fmt.Sprintf("a %s has no bounds", p.Type)
		return 0
	}
	unbounded := &param{}
	unbounded.Name = p.Name
	return number(unbounded.literal(element(typ), text, wrong))
}

// literal reads the text of a tag as a file would be read.
func (p *param) literal(typ reflect.Type, text string, wrong *string) reflect.Value {
	value := reflect.New(typ).Elem()
	switch element(typ).Kind() {
	case reflect.String:
		text = quoteUnlessList(text)
	default:
		if _, err := strconv.ParseFloat(text, 64); err != nil && text != "true" && text != "false" {
			text = quoteUnlessList(text)
		}
	}
	doc := tomldoc.Parse("tag", "value = "+text)
	if v, ok := doc.Root().Value("value"); ok {
		p.set(value, v)
	}
	for _, err := range doc.Errors() {
		*wrong = err.Error()
	}
	return value
}

func quoteUnlessList(text string) string {
	if strings.HasPrefix(text, "[") {
		return text
	}
	return strconv.Quote(text)
}

// element is what a pointer or slice is made of.
func element(typ reflect.Type) reflect.Type {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice && !isText(typ) {
		typ = typ.Elem()
	}
	return typ
}

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

func isText(typ reflect.Type) bool { return reflect.PointerTo(typ).Implements(textType) }

// typeWords are the types with readers of their own.
var typeWords = map[reflect.Type]string{
	reflect.TypeFor[time.Duration](): "duration",
	reflect.TypeFor[Size]():          "size",
	reflect.TypeFor[Rate]():          "rate",
	reflect.TypeFor[Probability]():   "probability",
}

// typeWord is what the reference calls a type, or "" if it cannot be read.
func typeWord(typ reflect.Type) string {
	if word, ok := typeWords[typ]; ok {
		return word
	}
	if isText(typ) {
		return "string"
	}
	switch kind := typ.Kind(); {
	case kind == reflect.Pointer:
		return typeWord(typ.Elem())
	case kind == reflect.Slice && typeWord(typ.Elem()) != "":
		return "list of " + typeWord(typ.Elem())
	case kind == reflect.Bool:
		return "boolean"
	case kind == reflect.String:
		return "string"
	case reflect.Zero(typ).CanInt() || reflect.Zero(typ).CanUint():
		return "integer"
	case reflect.Zero(typ).CanFloat():
		return "number"
	}
	return ""
}

func isNumeric(typ reflect.Type) bool {
	zero := reflect.Zero(typ)
	return !isText(typ) && (zero.CanInt() || zero.CanUint() || zero.CanFloat())
}

// number is a numeric value for comparison with the bounds.
func number(value reflect.Value) float64 {
	switch {
	case value.CanInt():
		return float64(value.Int())
	case value.CanUint():
		return float64(value.Uint())
	case value.CanFloat():
		return value.Float()
	}
	return 0
}
