package wire

import "fmt"

// A Reason tells what Parse made of a packet: OK, or why it is not a TCP segment
// to us and has to pass as it is.
type Reason uint8

// The reasons. Where several hold, a packet has the one found first on the way
// from the outer header inwards.
const (
	OK              Reason = iota // a TCP segment, or a super-packet of several
	NotIP                         // neither version 4 nor 6, or no byte at all
	NotTCP                        // another protocol
	Fragment                      // an IP fragment, the first one too
	ExtensionHeader               // IPv6 with extension headers before whatever it carries
	Malformed                     // lengths or TCP options that contradict each other
	ICMPError                     // an ICMP error about a TCP segment: see ParseICMPError
)

// NumReasons counts the reasons, for arrays of counters.
const NumReasons = int(ICMPError) + 1

var reasonNames = [NumReasons]string{
	"ok", "not-ip", "not-tcp", "fragment", "extension-header", "malformed", "icmp-error",
}

// String is the reason as events and counters name it: "extension-header".
func (r Reason) String() string {
	if int(r) < NumReasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}
