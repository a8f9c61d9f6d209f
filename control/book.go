package control

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

// FilesLayer is the name under which the rules of the files are listed.
const FilesLayer = "files"

// A Book is the rules in force in an Engine: those of the files, and layers laid over
// them, the oldest first. Layers stand before the files: who asks for a fault by a call
// means it now, whatever a file says of the same segments. Each change puts
// all of it in force in one step; rules that it leaves alone keep their counts, and what
// is gone leaves nothing behind. Goroutines may share it.
type Book struct {
	eng *engine.Engine

	mu         sync.Mutex
	files      *rules.Set
	layers     []layer
	whole      *rules.Set
	layerOf    map[string]string // by the rule's name
	generation uint64
}

// A layer is rules of somebody other than the files.
type layer struct {
	name string
	set  *rules.Set
}

// NewBook makes the book of an Engine in which the rules of the files are in force; nil
// is none.
func NewBook(eng *engine.Engine, files *rules.Set) *Book {
	if files == nil {
		files = &rules.Set{}
	}
	b := &Book{eng: eng, files: files, whole: files}
	b.index()
	return b
}

// ErrStale is what SetFilesAt returns if the rules have changed meanwhile.
var ErrStale = errors.New("the rules have changed since that generation")

// SetFiles puts rules in the place of those of the files.
func (b *Book) SetFiles(set *rules.Set) error { return b.SetFilesAt(set, 0) }

// SetFilesAt is SetFiles if the book is at that generation still; 0 is any.
func (b *Book) SetFilesAt(set *rules.Set, generation uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if generation != 0 && generation != b.generation {
		return ErrStale
	}
	return b.apply(set, b.layers)
}

// Put lays the rules of a layer over the files, in the place of those that it had. A rule
// that its text gives no name is called after the layer. The error is a *TakenError
// if another layer, or the files, have a rule of the same name.
func (b *Book) Put(name string, set *rules.Set) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := layer{name, calledAfter(name, set)}
	layers := slices.Clone(b.layers)
	if i := b.find(name); i >= 0 {
		layers[i] = l
	} else {
		layers = append(layers, l)
	}
	return b.apply(b.files, layers)
}

// Remove takes the rules of a layer out of force. There need not be such a layer.
func (b *Book) Remove(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.find(name)
	if i < 0 {
		return nil
	}
	return b.apply(b.files, slices.Delete(slices.Clone(b.layers), i, i+1))
}

// Cut resets both ends of all connections to a server.
func (b *Book) Cut(server netip.AddrPort) error {
	_, err := b.eng.Act(func(v *engine.ConnView) bool { return v.Server == server && !v.Closed() }, cut)
	return err
}

var cut = rules.MustParse("[[rule]]\naction = { reset = \"both\" }").Rules[0].Actions[0]

// A TakenError refuses a rule whose name one of another layer has.
type TakenError struct{ Name, Layer string }

func (e *TakenError) Error() string {
	return fmt.Sprintf("%q is already the name of a rule of %s", e.Name, e.Layer)
}

// has tells whether there is a layer of that name.
func (b *Book) has(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return name == FilesLayer || b.find(name) >= 0
}

func (b *Book) find(name string) int {
	return slices.IndexFunc(b.layers, func(l layer) bool { return l.name == name })
}

// apply puts the files and layers in force, or changes nothing.
func (b *Book) apply(files *rules.Set, layers []layer) error {
	var sets []*rules.Set
	for _, l := range layers {
		sets = append(sets, l.set)
	}
	whole, err := rules.Join(append(sets, files)...)
	if taken, ok := errors.AsType[*rules.NameTaken](err); ok {
		return &TakenError{taken.Name, b.layerOf[taken.Name]}
	}
	if err := b.eng.Reload(whole); err != nil {
		return err
	}
	b.files, b.layers, b.whole = files, layers, whole
	b.index()
	return nil
}

// index begins a generation.
func (b *Book) index() {
	b.generation++
	b.layerOf = make(map[string]string)
	for _, r := range b.files.Rules {
		b.layerOf[r.Name] = FilesLayer
	}
	for _, l := range b.layers {
		for _, r := range l.set.Rules {
			b.layerOf[r.Name] = l.name
		}
	}
}

// calledAfter is a set whose rules without a name of their own are called after a layer.
func calledAfter(layer string, set *rules.Set) *rules.Set {
	named := *set
	named.Rules = slices.Clone(set.Rules)
	for i, r := range named.Rules {
		if r.Name == fmt.Sprintf("rule-%d", i+1) {
			renamed := *r
			renamed.Name = layer + "." + r.Name
			named.Rules[i] = &renamed
		}
	}
	return &named
}

// look calls f with the rules in force and what became of each, in their order.
func (b *Book) look(f func(set *rules.Set, reports []engine.RuleReport)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b.whole, b.eng.Report())
}
