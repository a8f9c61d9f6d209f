package toxiproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
)

// A toxic is a fault of one direction of a proxy's connections.
type toxic struct {
	Attributes attributes `json:"attributes"`
	Name       string     `json:"name"`
	Type       string     `json:"type"`
	Stream     string     `json:"stream"`
	Toxicity   float32    `json:"toxicity"` // the share of connections that it is for
}

// attributes are those of one type of toxics: a pointer to a struct whose fields are whole
// numbers, probabilities or booleans.
type attributes interface {
	// check tells what is wrong with the values.
	check() error
	// drafts are the rules that the toxic comes to.
	drafts(t *toxic) []draft
}

// types makes the attributes of each type, with their defaults.
var types = map[string]func() attributes{
	"latency":     func() attributes { return new(latency) },
	"bandwidth":   func() attributes { return new(bandwidth) },
	"slow_close":  func() attributes { return new(slowClose) },
	"timeout":     func() attributes { return new(timeout) },
	"reset_peer":  func() attributes { return new(resetPeer) },
	"slicer":      func() attributes { return new(slicer) },
	"limit_data":  func() attributes { return new(limitData) },
	"packet_loss": func() attributes { return new(packetLoss) },
	"noop":        func() attributes { return new(noop) },

	"last_ack":     func() attributes { return new(lastAck) },
	"half_open":    func() attributes { return new(halfOpen) },
	"slow_connect": func() attributes { return new(slowConnect) },
	"refuse":       func() attributes { return new(refuse) },
	"blackhole":    func() attributes { return new(blackhole) },
	"idle_forget":  func() attributes { return new(idleForget) },
}

// upstream tells whether the toxic is for what clients send.
func (t *toxic) upstream() bool { return strings.EqualFold(t.Stream, "upstream") }

// from is who sends in the toxic's direction, to who receives.
func (t *toxic) from() string {
	if t.upstream() {
		return "client"
	}
	return "server"
}

func (t *toxic) to() string {
	if t.upstream() {
		return "server"
	}
	return "client"
}

// A toxicInput is what calls send of a toxic.
type toxicInput struct {
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Stream     string          `json:"stream"`
	Toxicity   float32         `json:"toxicity"`
	Attributes json.RawMessage `json:"attributes"`
}

// readToxic reads a new toxic.
func readToxic(body io.Reader) (*toxic, error) {
	in := toxicInput{Stream: "downstream", Toxicity: 1}
	if err := json.NewDecoder(body).Decode(&in); err != nil {
		return nil, badBody(err)
	}
	if !strings.EqualFold(in.Stream, "upstream") && !strings.EqualFold(in.Stream, "downstream") {
		return nil, errStream
	}
	if in.Name == "" {
		in.Name = in.Type + "_" + in.Stream
	}
	make := types[in.Type]
	if make == nil {
		return nil, errToxicType
	}
	t := &toxic{make(), in.Name, in.Type, in.Stream, in.Toxicity}
	return t, t.read(in.Attributes)
}

// updated is the toxic with what a call changes: its attributes and toxicity.
func (t *toxic) updated(body io.Reader) (*toxic, error) {
	in := toxicInput{Toxicity: t.Toxicity}
	if err := json.NewDecoder(body).Decode(&in); err != nil {
		return nil, badBody(err)
	}
	other := *t
	other.Toxicity = in.Toxicity
	other.Attributes = types[t.Type]()
	before, _ := json.Marshal(t.Attributes) // plain fields always marshal
	if err := json.Unmarshal(before, other.Attributes); err != nil {
		return nil, err
	}
	return &other, other.read(in.Attributes)
}

// read reads attributes. One that the type has not is refused: a toxic that
// does nothing, for a letter's sake, makes a test that proves nothing.
func (t *toxic) read(raw json.RawMessage) error {
	if t.Toxicity < 0 || t.Toxicity > 1 || math.IsNaN(float64(t.Toxicity)) {
		return badBody(fmt.Errorf("toxicity %v is not between 0 and 1", t.Toxicity))
	}
	if len(raw) > 0 && !bytes.Equal(raw, []byte("null")) {
		var given map[string]json.RawMessage
		if err := json.Unmarshal(raw, &given); err != nil {
			return badBody(err)
		}
		for _, name := range slices.Sorted(maps.Keys(given)) {
			is := func(known string) bool { return strings.EqualFold(known, name) } // as Go reads JSON
			if known := t.attributeNames(); !slices.ContainsFunc(known, is) {
				return badBody(fmt.Errorf("a %s toxic has no attribute %q; it has %s", t.Type, name, orNone(known)))
			}
		}
		if err := json.Unmarshal(raw, t.Attributes); err != nil {
			return badBody(err)
		}
	}
	if err := t.Attributes.check(); err != nil {
		return badBody(err)
	}
	return nil
}

// attributeNames are those that the type has.
func (t *toxic) attributeNames() (names []string) {
	fields := reflect.TypeOf(t.Attributes).Elem()
	for field := range fields.Fields() {
		names = append(names, field.Tag.Get("json"))
	}
	return names
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// toxic is the one of that name, or nil.
func (p *proxy) toxic(name string) *toxic {
	for _, t := range p.Toxics {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// insert puts a toxic behind the others of its direction, upstream ones first.
func (p *proxy) insert(t *toxic) {
	at := len(p.Toxics)
	if t.upstream() {
		at = 0
		for at < len(p.Toxics) && p.Toxics[at].upstream() {
			at++
		}
	}
	p.Toxics = slices.Insert(slices.Clone(p.Toxics), at, t)
}

func (p *proxy) remove(t *toxic) {
	p.Toxics = slices.DeleteFunc(slices.Clone(p.Toxics), func(other *toxic) bool { return other == t })
}

// positive refuses numbers below zero, by their names.
func positive(names string, values ...int64) error {
	for i, name := range strings.Fields(names) {
		if values[i] < 0 {
			return fmt.Errorf("%s must not be negative", name)
		}
	}
	return nil
}

var errProbability = errors.New("probability must be between 0 and 1")
