package rules

import (
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// A Role is a set of things that the sender of a segment may be. 0 means anyone.
type Role uint8

// The roles.
const (
	RoleClient Role = 1 << iota
	RoleServer
	RoleActiveCloser
	RolePassiveCloser
)

var roleNames = []string{"client", "server", "active-closer", "passive-closer"}

// Match tells whether a sender who has these roles is meant.
func (r Role) Match(sender Role) bool { return r == 0 || r&sender != 0 }

// String lists the roles.
func (r Role) String() string { return bitNames(uint8(r), roleNames) }

func readRole(v tomldoc.Value) Role { return Role(readBits(v, "sender", roleNames)) }

// A Side is one endpoint or both, as a parameter of a fault: to whom, from whom.
// The zero value is no side.
type Side uint8

// The sides.
const (
	SideClient Side = 1 << iota
	SideServer
	SideBoth = SideClient | SideServer
)

var sideNames = []string{"client", "server"}

// Has tells whether all of other is in the side.
func (s Side) Has(other Side) bool { return other != 0 && s&other == other }

// String is the side as a rule file writes it.
func (s Side) String() string {
	if s == SideBoth {
		return "both"
	}
	return bitNames(uint8(s), sideNames)
}

// Values lists the words that UnmarshalText knows.
func (Side) Values() []string { return []string{"client", "server", "both"} }

// UnmarshalText reads client, server or both.
func (s *Side) UnmarshalText(text []byte) error {
	for _, side := range []Side{SideClient, SideServer, SideBoth} {
		if side.String() == string(text) {
			*s = side
			return nil
		}
	}
	return unknown("side", string(text), s.Values())
}

// bitNames joins the names of the bits that are set.
func bitNames(bits uint8, names []string) string {
	var set []string
	for i, name := range names {
		if bits&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	return strings.Join(set, ", ")
}

// readBits reads one name or a list of them as bits.
func readBits(v tomldoc.Value, what string, names []string) (bits uint8) {
	for _, item := range v.List() {
		if i, ok := readName(item, what, names); ok {
			bits |= 1 << i
		}
	}
	return bits
}

// readName reads one of the names as its index.
func readName(v tomldoc.Value, what string, names []string) (int, bool) {
	text, ok := v.Text()
	if !ok {
		return 0, false
	}
	for i, name := range names {
		if name == text {
			return i, true
		}
	}
	v.Errorf("%w", unknown(what, text, names))
	return 0, false
}
