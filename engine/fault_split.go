package engine

import (
	"fmt"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// splitFault sends a payload in smaller segments. FIN and PSH stay on the last of them,
// CWR on the first.
type splitFault struct {
	Size uint16 `rule:"size,primary" doc:"payload bytes of each piece" required:"true" min:"1"`
}

var _ = register("split", "the payload in smaller segments", onward, func() Fault { return new(splitFault) })

func (f *splitFault) Apply(j *Journey) {
	if j.Kinds.Has(conntrack.KindICMP) || j.Seg.Len <= uint32(f.Size) {
		return
	}
	j.mods.split = f.Size
	j.tell("split", func() string {
		return fmt.Sprintf("into %d pieces", (j.Seg.Len+uint32(f.Size)-1)/uint32(f.Size))
	})
}
