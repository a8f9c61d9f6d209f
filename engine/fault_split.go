package engine

import (
	"fmt"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// splitFault sends a payload in smaller segments. FIN and PSH stay on the last of them,
// CWR on the first.
type splitFault struct {
	Size  uint16        `rule:"size,primary" doc:"payload bytes of each piece" required:"true" min:"1"`
	Apart time.Duration `rule:"apart" doc:"how long after one piece the next leaves; nothing overtakes them" default:"0s" max:"1h"`
}

var _ = register("split", "the payload in smaller segments", onward, func() Fault { return new(splitFault) })

func (f *splitFault) Apply(j *Journey) {
	if j.Kinds.Has(conntrack.KindICMP) {
		return
	}
	pieces := (j.Seg.Len + uint32(f.Size) - 1) / uint32(f.Size)
	if pieces < 2 && j.cutter != nil {
		return // what another split has made of it stays
	}
	j.spans, j.cutter = time.Duration(pieces)*f.Apart, j.rule
	if pieces > 1 {
		j.mods.split, j.mods.apart = f.Size, f.Apart
		j.tell("split", func() string { return fmt.Sprintf("into %d pieces", pieces) })
	}
}
