package engine

import (
	"fmt"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// forgetFault loses a connection as a NAT or a load balancer does: the segment that
// the rule fired on goes its way, and those after it belong to nothing. A SYN
// begins anew, also a repeated one.
type forgetFault struct {
	Then   string `rule:"then,primary" doc:"what becomes of later segments: dropped; answered by RST to their sender; the same, and the first also by RST to the other side" enum:"drop,rst,rst-both" default:"drop"`
	Notify string `rule:"notify" doc:"who gets an exact RST as it happens" enum:"none,rst-client,rst-server,rst-both" default:"none"`
}

var _ = register("forget", "the box loses the connection, as a NAT or load balancer would", anytime, func() Fault { return new(forgetFault) })

// A loss is that of a connection which the box has forgotten.
type loss struct {
	by       *rule // nil: it has not
	how      *forgetFault
	answered bool // a segment that came later
}

func (f *forgetFault) Apply(j *Journey) {
	j.flow.lost = loss{by: j.rule, how: f}
	for _, to := range f.notified() {
		j.leaveAfter(pending{maker: exactReset, to: to})
	}
	j.tell("forget", func() string { return fmt.Sprintf("then %s, notify %s", f.Then, f.Notify) })
}

// notified are the endpoints that are told.
func (f *forgetFault) notified() []conntrack.Dir {
	switch f.Notify {
	case "rst-client":
		return sides(rules.SideClient)
	case "rst-server":
		return sides(rules.SideServer)
	case "rst-both":
		return sides(rules.SideBoth)
	}
	return nil
}

// forgotten ends the journey of a segment whose connection is lost. It does not that of
// a SYN: with it the box gets to know the connection again.
func (b *Box) forgotten(j *Journey) bool {
	l := &j.flow.lost
	if j.Kinds.Has(conntrack.KindSyn) {
		*l = loss{}
		return false
	}
	j.rule = l.by
	j.lose(l.by, "")
	if l.how.Then == "drop" || j.Kinds.Any(unanswered) {
		return true
	}
	j.leaveAfter(pending{buf: b.refuse(j), to: j.Dir})
	if l.how.Then == "rst-both" && !l.answered {
		j.leaveAfter(pending{maker: exactReset, to: j.Dir.Peer()})
	}
	l.answered = true
	return true
}

// unanswered is what no RST answers, lest answers be answered for ever (RFC 9293,
// section 3.10.7.1; RFC 1122, section 3.2.2).
var unanswered = conntrack.KindsOf(conntrack.KindRst, conntrack.KindICMP)

// refuse forges the RST of a host that has no connection for the segment in hand: its
// numbers are that segment's own (RFC 9293, section 3.10.7.1).
func (b *Box) refuse(j *Journey) *Buf {
	s := wire.Build{Ack: uint32(j.Seg.End()), Flags: wire.RST | wire.ACK}
	if j.Seg.Flags.Has(wire.ACK) {
		s = wire.Build{Seq: uint32(j.Seg.Ack), Flags: wire.RST}
	}
	return b.forge(j.Conn, j.Dir, s)
}
