package engine

// dropFault ends a segment here.
type dropFault struct{}

var _ = registerPlain("drop", "the segment ends here", terminal, dropFault{})

func (dropFault) Apply(j *Journey) {
	j.decide(Drop)
	j.tell("drop", nothingToAdd)
}
