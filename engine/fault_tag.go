package engine

// tagFault marks a connection, for tag, not_tag and hold.
type tagFault struct {
	Name string `rule:"name,primary" doc:"the mark" required:"true"`
}

// untagFault takes the mark away.
type untagFault struct {
	Name string `rule:"name,primary" doc:"the mark" required:"true"`
}

var (
	_ = register("tag", "mark the connection", !terminal, func() Fault { return new(tagFault) })
	_ = register("untag", "take a mark away from the connection", !terminal, func() Fault { return new(untagFault) })
)

func (f *tagFault) Apply(j *Journey) {
	j.flow.tags |= j.box.tagBit(f.Name)
	j.box.releaseHeld(j.flow, func(w *wait) bool { return w.hold.Until.tag == f.Name })
	j.tell("tag", func() string { return f.Name })
}

func (f *untagFault) Apply(j *Journey) {
	j.flow.tags &^= j.box.tagBit(f.Name)
	j.tell("untag", func() string { return f.Name })
}

// maxTags is how many different tags one Box tells apart.
const maxTags = 64

// tagBit is the bit that stands for a tag in a flow; 0 if there are too many tags.
func (b *Box) tagBit(name string) uint64 {
	for i, n := range b.tagNames {
		if n == name {
			return 1 << i
		}
	}
	if len(b.tagNames) == maxTags {
		return 0
	}
	b.tagNames = append(b.tagNames, name)
	return 1 << (len(b.tagNames) - 1)
}
