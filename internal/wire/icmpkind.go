package wire

// An ICMPKind is an error that ICMP and ICMPv6 both know, by one name.
type ICMPKind uint8

// The kinds of errors. Their types and codes are those of RFC 792 and RFC 1812,
// section 5.2.7.1, and of RFC 4443, section 3.
const (
	NetUnreachable ICMPKind = iota
	HostUnreachable
	PortUnreachable
	AdminProhibited
	FragNeeded // with ICMPv6 Packet Too Big
	TimeExceeded
	numICMPKinds
)

var icmpKinds = [numICMPKinds]struct {
	name   string
	v4, v6 [2]uint8 // type and code
}{
	NetUnreachable:  {"net-unreachable", [2]uint8{ICMPv4Unreachable, 0}, [2]uint8{ICMPv6Unreachable, 0}},
	HostUnreachable: {"host-unreachable", [2]uint8{ICMPv4Unreachable, 1}, [2]uint8{ICMPv6Unreachable, 3}},
	PortUnreachable: {"port-unreachable", [2]uint8{ICMPv4Unreachable, 3}, [2]uint8{ICMPv6Unreachable, 4}},
	AdminProhibited: {"admin-prohibited", [2]uint8{ICMPv4Unreachable, 13}, [2]uint8{ICMPv6Unreachable, 1}},
	FragNeeded:      {"frag-needed", [2]uint8{ICMPv4Unreachable, ICMPv4FragNeeded}, [2]uint8{ICMPv6PacketTooBig, 0}},
	TimeExceeded:    {"time-exceeded", [2]uint8{ICMPv4TimeExceeded, 0}, [2]uint8{ICMPv6TimeExceeded, 0}},
}

// String is the kind's name in rule files and events.
func (k ICMPKind) String() string { return icmpKinds[k].name }

// Code gives the type and code of the kind, of ICMPv6 if v6 is set.
func (k ICMPKind) Code(v6 bool) (typ, code uint8) {
	pair := icmpKinds[k].v4
	if v6 {
		pair = icmpKinds[k].v6
	}
	return pair[0], pair[1]
}

// ParseICMPKind reads a kind's name.
func ParseICMPKind(name string) (k ICMPKind, ok bool) {
	for k := range numICMPKinds {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

// ICMPKindNames lists the kinds, for references and messages.
func ICMPKindNames() (names []string) {
	for k := range numICMPKinds {
		names = append(names, k.String())
	}
	return names
}

// V6 tells whether it is an error of ICMPv6.
func (e *ICMP) V6() bool { return e.From.Is6() }

// Kind is the kind of the error; ok is false if it is none of those.
func (e *ICMP) Kind() (k ICMPKind, ok bool) {
	for k := range numICMPKinds {
		if typ, code := k.Code(e.V6()); typ == e.Type && code == e.Code {
			return k, true
		}
	}
	return 0, false
}
