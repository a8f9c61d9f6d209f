package engine

import "slices"

// tagFault marks a connection, for tag, not_tag and hold.
type tagFault struct {
	Name string `rule:"name,primary" doc:"the mark" required:"true"`
}

// untagFault takes the mark away.
type untagFault struct {
	Name string `rule:"name,primary" doc:"the mark" required:"true"`
}

var (
	_ = register("tag", "mark the connection", anytime, func() Fault { return new(tagFault) })
	_ = register("untag", "take a mark away from the connection", anytime, func() Fault { return new(untagFault) })
)

func (f *tagFault) Apply(j *Journey) {
	j.flow.tags.add(j.box.tag(f.Name))
	j.box.releaseHeld(j.flow, func(w *wait) bool { return w.hold.Until.tag == f.Name })
	j.tell("tag", func() string { return f.Name })
}

func (f *untagFault) Apply(j *Journey) {
	j.flow.tags.remove(j.box.tag(f.Name))
	j.tell("untag", func() string { return f.Name })
}

// A tag stands for a name; a Box gives one to each name that it meets in rules.
type tag uint16

// tag is the tag of a name.
func (b *Box) tag(name string) tag {
	i := slices.Index(b.tagNames, name)
	if i < 0 {
		i = len(b.tagNames)
		b.tagNames = append(b.tagNames, name)
	}
	return tag(i)
}

// tagsOf are the tags of names.
func (b *Box) tagsOf(names []string) (set tags) {
	for _, name := range names {
		set.add(b.tag(name))
	}
	return set
}

// tags are the marks of a connection, or those that a rule asks for.
type tags []tag

func (set *tags) add(t tag) {
	if !slices.Contains(*set, t) {
		*set = append(*set, t)
	}
}

func (set *tags) remove(t tag) {
	*set = slices.DeleteFunc(*set, func(have tag) bool { return have == t })
}

// meets tells whether the sets have a tag in common.
func (set tags) meets(others tags) bool {
	for _, t := range others {
		if slices.Contains(set, t) {
			return true
		}
	}
	return false
}
