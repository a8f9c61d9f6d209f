package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// mods are edits of a segment that leave its payload alone, but for where it is cut. They
// are part of its fate: neighbours that share them leave together. They wait with
// the segment, and are made as it leaves.
type mods struct {
	set, clear wire.Flags
	strip      rules.OptionSet // options that NOPs take the place of
	window     uint16          // if hasWindow
	mss        uint16          // 0: as it is
	keep       uint16          // payload bytes that are left, if truncated
	split      uint16          // payload bytes of each piece; 0: in one
	apart      time.Duration   // from one piece to the next
	ttl        uint8           // 0: as it is
	hasWindow  bool
	truncated  bool
	spoiled    bool // its checksum is wrong, and its receiver will not take it
}

// lonely are the flags that mean something on one segment of a train only, so that one
// to which they are added leaves alone.
const lonely = wire.SYN | wire.FIN | wire.RST | wire.PSH | wire.CWR

// alone tells whether a segment with these edits cannot leave with its neighbours.
func (m *mods) alone() bool {
	return m.set&lonely != 0 || m.truncated || m.split > 0 || m.spoiled
}

// apply makes the edits of the headers.
func (m *mods) apply(p *wire.Packet) {
	if m.set|m.clear != 0 {
		p.SetFlags(p.Flags()&^m.clear | m.set)
	}
	if m.hasWindow {
		p.SetWindow(m.window)
	}
	if m.ttl > 0 {
		p.SetTTL(m.ttl)
	}
	if m.mss > 0 {
		p.SetMSS(m.mss)
	}
	if m.strip != (rules.OptionSet{}) {
		m.stripFrom(p)
	}
}

func (m *mods) stripFrom(p *wire.Packet) {
	o := p.Options()
	for kind, _, ok := o.Next(); ok; kind, _, ok = o.Next() {
		if m.strip.Has(kind) {
			p.StripOption(kind)
		}
	}
}
