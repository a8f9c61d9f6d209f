package rules

import (
	"slices"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// Two keys of a match may ask for what no segment has together, as an ack and a payload. Such
// a rule never fires, whatever comes by, so it is a mistake of the file.

// A sort is the segments that are alike in all that decides that.
type sort struct {
	flags   wire.Flags // of the core ones
	payload bool       // it carries some
	from    Role
	icmp    bool // an ICMP error, which has none of these
}

// sorts are all there are.
var sorts = func() (all []sort) {
	for _, side := range []Role{RoleClient, RoleServer} {
		for _, closer := range []Role{0, RoleActiveCloser, RolePassiveCloser} {
			from := side | closer
			all = append(all, sort{from: from, icmp: true})
			for flags := range wire.Flags(core) + 1 {
				if flags&^wire.Flags(core) == 0 {
					all = append(all, sort{flags: flags, from: from}, sort{flags: flags, from: from, payload: true})
				}
			}
		}
	}
	return all
}()

// A sortKey is a key of a match that depends on the sort alone, and the sorts that it takes.
type sortKey struct {
	name  string
	takes func(m *Match, s sort) bool
}

var sortKeys = []sortKey{
	{"from", func(m *Match, s sort) bool { return m.From.Match(s.from) }},
	{"segment", func(m *Match, s sort) bool { return m.Segment.takes(s) }},
	{"flags", func(m *Match, s sort) bool { return m.Flags.takes(s) }},
	{"length", func(m *Match, s sort) bool { return m.Length.takes(s) }},
	{"offset", func(m *Match, s sort) bool { return m.Offset.takes(s) }},
	{"payload", func(m *Match, s sort) bool { return s.payload || m.Payload.Match(nil) }},
	{"payload_hex", func(m *Match, s sort) bool { return s.payload || m.PayloadHex.Match(nil) }},
}

// checkSorts reports each two keys that no segment can have together.
func checkSorts(m *Match, t *tomldoc.Table) {
	keys := slices.DeleteFunc(slices.Clone(sortKeys), func(k sortKey) bool { return !sound(t, k.name) })
	for i, k := range keys {
		for _, other := range keys[:i] {
			both := func(s sort) bool { return k.takes(m, s) && other.takes(m, s) }
			if !slices.ContainsFunc(sorts, both) {
				nothingHas(t, "segment", k.name, other.name)
			}
		}
	}
}

func (m SegmentMatch) takes(s sort) bool {
	for _, c := range m.Any {
		if (Conj{c.All, c.None | m.Exclude}).takes(s) {
			return true
		}
	}
	return len(m.Any) == 0 && Conj{None: m.Exclude}.takes(s)
}

// takes tells whether a segment of the sort can be what the alternative asks for.
func (c Conj) takes(s sort) bool {
	is := s.kinds()
	for _, k := range lifeKinds {
		switch {
		case !c.All.Has(k.kind):
		case !k.of(s) || c.All.Any(k.never):
			return false
		default:
			is |= conntrack.KindsOf(k.kind) | k.implies
		}
	}
	return c.Match(is)
}

// possible tells whether there is any segment like that.
func (c Conj) possible() bool {
	return slices.ContainsFunc(sorts, c.takes)
}

// kinds are those that each segment of the sort has.
func (s sort) kinds() conntrack.Kinds {
	if s.icmp {
		return conntrack.KindsOf(conntrack.KindICMP)
	}
	segment := conntrack.Segment{Flags: s.flags}
	if s.payload {
		segment.Len = 1
	}
	return conntrack.PlainKinds(&segment)
}

// lifeKinds are the kinds that a segment has by its place in the life of the connection: of
// which sorts it can be, what it then is as well, and what it never is besides.
var lifeKinds = []struct {
	kind           conntrack.Kind
	of             func(sort) bool
	implies, never conntrack.Kinds
}{
	{conntrack.KindFirstFin, func(s sort) bool { return s.isFin() && s.from&RolePassiveCloser == 0 }, 0, conntrack.KindsOf(conntrack.KindSecondFin)},
	{conntrack.KindSecondFin, func(s sort) bool { return s.isFin() && s.from&RoleActiveCloser == 0 }, 0, 0},
	{conntrack.KindAckOfFin, sort.acks, 0, 0},
	{conntrack.KindLastAck, sort.acks, conntrack.KindsOf(conntrack.KindAckOfFin), 0},
	{conntrack.KindHandshakeAck, func(s sort) bool { return s.isBare() && s.from&RoleClient != 0 }, 0, 0},
	{conntrack.KindDupAck, sort.isBare, 0, conntrack.KindsOf(conntrack.KindWindowUpdate)},
	{conntrack.KindWindowUpdate, sort.isBare, 0, 0},
	{conntrack.KindKeepaliveAck, sort.isBare, 0, 0},
	{conntrack.KindChallengeAck, sort.isBare, 0, 0},
	{conntrack.KindKeepalive, sort.isPlain, 0, besidesProbe | conntrack.KindsOf(conntrack.KindWindowProbe)},
	{conntrack.KindWindowProbe, sort.isPlain, 0, besidesProbe},
	{conntrack.KindRetransmission, sort.occupies, 0, conntrack.KindsOf(conntrack.KindOutOfOrder)},
	{conntrack.KindOutOfOrder, sort.occupies, 0, 0},
	{conntrack.KindStale, func(s sort) bool { return !s.icmp }, 0, besidesStale},
}

// A probe, and a segment of an earlier incarnation, have no place among those of their connection.
var (
	besidesProbe = conntrack.KindsOf(conntrack.KindHandshakeAck, conntrack.KindDupAck, conntrack.KindWindowUpdate,
		conntrack.KindKeepaliveAck, conntrack.KindChallengeAck, conntrack.KindRetransmission, conntrack.KindOutOfOrder)
	besidesStale = conntrack.KindsOf(conntrack.KindFirstFin, conntrack.KindSecondFin, conntrack.KindAckOfFin, conntrack.KindLastAck,
		conntrack.KindKeepalive, conntrack.KindWindowProbe, conntrack.KindHandshakeAck, conntrack.KindDupAck,
		conntrack.KindWindowUpdate, conntrack.KindRetransmission, conntrack.KindOutOfOrder)
)

func (s sort) isFin() bool    { return s.flags.Has(wire.FIN) && !s.flags.Has(wire.RST) }
func (s sort) acks() bool     { return s.flags.Has(wire.ACK) && !s.flags.Has(wire.RST) }
func (s sort) isPlain() bool  { return s.flags == wire.ACK }
func (s sort) isBare() bool   { return s.isPlain() && !s.payload }
func (s sort) occupies() bool { return s.payload || s.flags&(wire.SYN|wire.FIN) != 0 }

// takes asks for the core flags alone: a segment may have any of the others.
func (fs Flagset) takes(s sort) bool {
	for _, m := range fs {
		if (FlagMatch{m.Care & uint16(core), m.Want & uint16(core)}).Match(uint16(s.flags)) {
			return true
		}
	}
	return len(fs) == 0
}

func (rs Ranges) takes(s sort) bool {
	if !s.payload {
		return rs.Match(0)
	}
	for _, r := range rs {
		if r.Hi > 0 {
			return true
		}
	}
	return len(rs) == 0
}

func (all Offsets) takes(s sort) bool {
	for _, o := range all {
		if s.payload || !o.Contains {
			return true
		}
	}
	return len(all) == 0
}
