package engine

import (
	"fmt"
	"time"
)

// duplicateFault sends copies of a segment after it.
type duplicateFault struct {
	Copies int           `rule:"copies,primary" doc:"how many" default:"1" min:"1" max:"1000"`
	After  time.Duration `rule:"after" doc:"how long after the segment came in" default:"0s"`
}

var _ = register("duplicate", "the segment, and copies of it later", onward, func() Fault { return new(duplicateFault) })

func (f *duplicateFault) Apply(j *Journey) {
	for range f.Copies {
		j.leaveAfter(pending{
			buf: j.copySegment(), to: j.Dir.Peer(), after: f.After, kinds: j.Kinds, mods: j.mods, numbered: j.box.numbering(j.Conn),
		})
	}
	j.tell("duplicate", func() string { return fmt.Sprintf("%d after %v", f.Copies, f.After) })
}
