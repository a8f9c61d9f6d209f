package engine

import (
	"fmt"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// icmpFault forges ICMP errors, of ICMPv6 where the connection is one of IPv6. They
// seem to come from the address of the other endpoint, which every route leads to,
// and leave after the segment that the rule fired on.
type icmpFault struct {
	Kind string `rule:"kind,primary" doc:"what is wrong" enum:"net-unreachable,host-unreachable,port-unreachable,admin-prohibited,frag-needed,time-exceeded" required:"true"`
	To   string `rule:"to" doc:"who is told: the sender, about this segment; or an endpoint by its role, about what it has sent last if that is not the sender" enum:"sender,client,server,both" default:"sender"`
	MTU  *int   `rule:"mtu" doc:"of frag-needed, which is Packet Too Big with IPv6: what would fit; 1280 if it is not said" min:"68" max:"65535"`
}

var _ = register("icmp", "forge an ICMP error about the segment", onward, func() Fault { return new(icmpFault) })

// Check refuses an MTU that no error carries.
func (f *icmpFault) Check() []rules.Problem {
	if f.MTU != nil && f.Kind != wire.FragNeeded.String() {
		return []rules.Problem{{Key: "mtu", Other: "kind", Err: `only frag-needed tells an "mtu"`}}
	}
	return nil
}

// defaultMTU is what every IPv6 path carries (RFC 8200, section 5), the least that
// Linux believes of one, and little enough for IPv4 to notice.
const defaultMTU = 1280

func (f *icmpFault) mtu() uint32 {
	if f.MTU == nil {
		return defaultMTU
	}
	return uint32(*f.MTU)
}

func (f *icmpFault) Apply(j *Journey) {
	if j.Kinds.Has(conntrack.KindICMP) {
		j.tell("icmp", func() string { return "none about an ICMP error (RFC 1122, section 3.2.2)" })
		return
	}
	for _, to := range f.targets(j) {
		p := pending{to: to, kinds: conntrack.KindsOf(conntrack.KindICMP)}
		if j.Conn.State(to) == conntrack.SynSent {
			p.late = connecting
		}
		if to == j.Dir {
			p.buf = f.forge(j.box, j.Conn, to, j.packet.Materialize(j.place, j.box.scratch[:0]))
		} else {
			p.maker = f
		}
		j.leaveAfter(p)
	}
	j.tell("icmp", func() string { return fmt.Sprintf("%s to %s", f.Kind, f.To) })
}

// connecting is how long connect(2) may still have its socket after the SYN has come to
// us. Until then Linux ignores an error for it (LockDroppedIcmps; measured, 3 of 1000
// that were forged at once on a busy machine). If the SYN passes the error cannot
// wait, or the SYN-ACK would be there before it.
const connecting = time.Millisecond

func (f *icmpFault) targets(j *Journey) []conntrack.Dir {
	switch f.To {
	case "client":
		return sides(rules.SideClient)
	case "server":
		return sides(rules.SideServer)
	case "both":
		return sides(rules.SideBoth)
	}
	return sides(sideOf[j.Dir])
}

// sideOf is an endpoint as a parameter names it.
var sideOf = [2]rules.Side{conntrack.FromClient: rules.SideClient, conntrack.FromServer: rules.SideServer}

// make forges the error for an endpoint that has not sent the segment in hand. It
// quotes a bare one at the oldest number that the endpoint does not know to be
// acknowledged, so that its kernel takes it for one of its own; there is none as long as
// it has sent nothing.
func (f *icmpFault) make(b *Box, c *conntrack.Conn, to conntrack.Dir) *Buf {
	x := c.End(to)
	isn, ok := x.ISN()
	if !ok {
		return nil
	}
	s := wire.Build{
		Src: c.Addr(to), Dst: c.Addr(to.Peer()), Window: x.RawWindow(),
		Seq: uint32(x.Unacked()), Ack: uint32(x.Received()), Flags: wire.ACK,
	}
	switch {
	case x.State() == conntrack.SynSent:
		s.Flags, s.Ack = wire.SYN, 0
	case x.Unacked() == isn:
		s.Flags = wire.SYN | wire.ACK
	}
	return f.forge(b, c, to, s.Append(b.scratch[:0]))
}

// forge makes the error towards an endpoint, about a packet that it has sent.
func (f *icmpFault) forge(b *Box, c *conntrack.Conn, to conntrack.Dir, quote []byte) *Buf {
	e := wire.ICMPBuild{From: c.Addr(to.Peer()).Addr(), To: c.Addr(to).Addr(), MTU: f.mtu(), Quote: quote}
	kind, _ := wire.ParseICMPKind(f.Kind)
	e.Type, e.Code = kind.Code(e.To.Is6())
	buf := b.pool.Get(wire.MaxICMP)
	buf.n = len(e.Append(buf.raw[:0]))
	return buf
}
