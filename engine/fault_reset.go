package engine

import (
	"fmt"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// resetFault forges RSTs. They leave after the segment that the rule fired on,
// and take their numbers from what their target has received by then.
type resetFault struct {
	To   rules.Side `rule:"to,primary" doc:"whose kernel gets one" default:"both"`
	Seq  string     `rule:"seq" doc:"exact: closes; in-window: is answered by a challenge ACK; out-of-window: is ignored (RFC 5961)" enum:"exact,in-window,out-of-window" default:"exact"`
	Hide bool       `rule:"hide" doc:"swallow the RSTs that the dead endpoint sends afterwards, so that the other one stays half-open" default:"false"`
}

var _ = register("reset", "forge a RST that the target's kernel judges as asked", anytime, func() Fault { return new(resetFault) })

// exactReset makes RSTs for other faults.
var exactReset = &resetFault{Seq: "exact"}

func (f *resetFault) Apply(j *Journey) {
	for _, to := range sides(f.To) {
		j.leaveAfter(pending{maker: f, to: to})
		if f.Hide {
			j.flow.hide[to] = j.rule
		}
	}
	j.tell("reset", func() string { return fmt.Sprintf("to %v, %s", f.To, f.Seq) })
}

// make forges the RST towards an endpoint, nil if it is CLOSED already.
func (f *resetFault) make(b *Box, c *conntrack.Conn, to conntrack.Dir) *Buf {
	x := c.End(to)
	if x.State() == conntrack.Closed {
		return nil
	}
	n, ack := f.numbers(x)
	return b.forge(c, to, wire.Build{Seq: uint32(n), Ack: uint32(ack), Flags: wire.RST | wire.ACK})
}

// beside is how far off an inexact RST is; measured, anything from 1 to the
// window inclusive is challenged.
const beside = 10

// beyond is how far right of the window an RST must be to be ignored.
const beyond = 1 << 20

// numbers chooses SEG.SEQ by RFC 5961, section 3.2. In SYN_SENT the
// acknowledgment decides instead (RFC 9293, section 3.10.7.3).
func (f *resetFault) numbers(x *conntrack.Endpoint) (n, ack seq.Num) {
	if x.State() == conntrack.SynSent {
		isn, _ := x.ISN()
		if f.Seq == "exact" {
			return 0, isn.Add(1)
		}
		return 0, isn
	}
	switch f.Seq {
	case "in-window":
		return x.Received().Add(max(1, min(beside, x.Window()))), x.Next()
	case "out-of-window":
		return x.Received().Add(x.Window() + beyond), x.Next()
	}
	return x.Received(), x.Next()
}
