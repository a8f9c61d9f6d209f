package conntrack

import (
	"math/bits"
	"strings"
)

// A Kind names one property of a segment in the life of its connection. One
// segment usually has several: the retransmitted FIN of the passive closer is a
// fin, a second-fin, a retransmission and an ack-of-fin.
type Kind uint8

// The kinds, as rule files name them. Retransmissions are included in every row.
const (
	KindSyn            Kind = iota // SYN without ACK
	KindSynAck                     // SYN with ACK
	KindHandshakeAck               // a bare ACK from the client that completes the handshake, again ones too
	KindData                       // carries payload
	KindAck                        // carries nothing but an acknowledgment
	KindDupAck                     // acknowledges nothing new, same window
	KindWindowUpdate               // acknowledges nothing new, another window
	KindFin                        // carries FIN
	KindFirstFin                   // the FIN of the endpoint that closed first
	KindSecondFin                  // the FIN of the endpoint that closed second
	KindAckOfFin                   // its acknowledgment covers the peer's FIN
	KindLastAck                    // an ack-of-fin that covers the second FIN
	KindRst                        // carries RST
	KindKeepalive                  // RFC 9293, section 3.8.4 probe
	KindKeepaliveAck               // answers such a probe
	KindWindowProbe                // sent into a closed window
	KindRetransmission             // covers sequence space sent before
	KindOutOfOrder                 // leaves a hole before it
	KindChallengeAck               // answers an unacceptable segment (RFC 5961)
	KindStale                      // belongs to an earlier incarnation of the 4-tuple
	KindICMP                       // an ICMP error about the connection
	numKinds
)

var kindNames = [numKinds]string{
	"syn", "syn-ack", "handshake-ack", "data", "ack", "dup-ack", "window-update",
	"fin", "first-fin", "second-fin", "ack-of-fin", "last-ack", "rst",
	"keepalive", "keepalive-ack", "window-probe", "retransmission",
	"out-of-order", "challenge-ack", "stale", "icmp",
}

// String is the kind's name in rule files and events.
func (k Kind) String() string { return kindNames[k] }

// ParseKind reads a kind's name.
func ParseKind(name string) (Kind, bool) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), true
		}
	}
	return 0, false
}

// KindNames lists the kinds in the order of the reference.
func KindNames() []string { return append([]string(nil), kindNames[:]...) }

// Kinds is a set of kinds; the zero value is empty.
type Kinds uint32

// KindsOf makes a set.
func KindsOf(kinds ...Kind) (set Kinds) {
	for _, k := range kinds {
		set |= 1 << k
	}
	return set
}

// Has tells whether k is in the set.
func (set Kinds) Has(k Kind) bool { return set&(1<<k) != 0 }

// All tells whether every kind of other is in the set.
func (set Kinds) All(other Kinds) bool { return set&other == other }

// Any tells whether a kind of other is in the set.
func (set Kinds) Any(other Kinds) bool { return set&other != 0 }

// Append adds the names of the set's kinds to names, in the order of the reference.
func (set Kinds) Append(names []string) []string {
	for rest := uint32(set); rest != 0; rest &= rest - 1 {
		names = append(names, kindNames[bits.TrailingZeros32(rest)])
	}
	return names
}

// String joins the names with commas.
func (set Kinds) String() string { return strings.Join(set.Append(nil), ",") }
