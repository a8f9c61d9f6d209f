package engine

// passFault leaves a segment alone: no later rule sees it.
type passFault struct{}

var _ = registerPlain("pass", "leave the segment alone; no later rule sees it", terminal, passFault{})

// Apply decides nothing: a segment passes unless something else is decided.
func (passFault) Apply(j *Journey) { j.tell("pass", nothingToAdd) }
