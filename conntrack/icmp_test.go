package conntrack

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

const inSynSent script = `
	Cx S 0:0
	S~ S 0:0                       = SYN_SENT SYN_SENT
`

// TestICMP: which errors end what is opening (tcp_v4_err, tcp_v6_err, tcp_req_err). S
// gets them, about its SYN.
func TestICMP(t *testing.T) {
	const (
		unreachable4, exceeded4, parameter4  = wire.ICMPv4Unreachable, wire.ICMPv4TimeExceeded, wire.ICMPv4ParamProblem
		unreachable6, exceeded6, parameter6  = wire.ICMPv6Unreachable, wire.ICMPv6TimeExceeded, wire.ICMPv6ParamProblem
		ends, stays                          = true, false
		fragNeeded, sourceQuench, packetLong = wire.ICMPv4FragNeeded, wire.ICMPv4SourceQuench, wire.ICMPv6PacketTooBig
	)
	for _, row := range []struct {
		v6               bool
		typ, code        uint8
		opening, request bool // a socket's, a listener's
	}{
		{false, unreachable4, 0, ends, ends},            // net
		{false, unreachable4, 1, ends, ends},            // host
		{false, unreachable4, 2, ends, stays},           // protocol
		{false, unreachable4, 3, ends, stays},           // port
		{false, unreachable4, fragNeeded, stays, stays}, //
		{false, unreachable4, 13, ends, stays},          // prohibited
		{false, unreachable4, 15, ends, stays},          // the last code that is known
		{false, unreachable4, 16, stays, stays},         //
		{false, exceeded4, 0, ends, ends},               // in transit
		{false, exceeded4, 1, stays, stays},             // in reassembly
		{false, parameter4, 0, ends, ends},              //
		{false, sourceQuench, 0, stays, stays},          //
		{true, unreachable6, 0, ends, stays},            // no route
		{true, unreachable6, 1, ends, ends},             // prohibited
		{true, unreachable6, 2, ends, stays},            // beyond the scope
		{true, unreachable6, 3, ends, stays},            // address
		{true, unreachable6, 4, ends, ends},             // port
		{true, unreachable6, 6, ends, ends},             // rejected
		{true, unreachable6, 7, ends, ends},             // a code that is not known
		{true, packetLong, 0, stays, stays},             //
		{true, exceeded6, 0, ends, stays},               //
		{true, exceeded6, 1, ends, stays},               //
		{true, parameter6, 0, ends, ends},               //
	} {
		e := wire.ICMP{From: netip.MustParseAddr("10.77.1.1"), Type: row.typ, Code: row.code}
		if row.v6 {
			e.From = netip.MustParseAddr("fd77:1::1")
		}
		t.Run(fmt.Sprintf("v6 %v, %d %d", row.v6, row.typ, row.code), func(t *testing.T) {
			for _, set := range settings {
				told(t, set, inSynSent, e, 0, SynSent, row.opening)
				told(t, set, inSynRcvd, e, 0, SynRcvd, row.opening)
				told(t, set, inRequest, e, 0, SynRcvd, row.request)
				told(t, set, inEstablished, e, 101, Established, stays)
			}
		})
	}
}

// TestICMPNumbers: only an error about what is under way counts.
func TestICMPNumbers(t *testing.T) {
	hostUnreachable := wire.ICMP{From: netip.MustParseAddr("10.77.1.1"), Type: wire.ICMPv4Unreachable, Code: 1}
	for _, row := range []struct {
		name    string
		opening script
		was     State
		seq     int
		ends    bool
	}{
		{"SYN_SENT, its SYN", inSynSent, SynSent, 0, true},
		{"SYN_SENT, just behind it", inSynSent, SynSent, 1, true},
		{"SYN_SENT, left of it", inSynSent, SynSent, -1, false},
		{"SYN_SENT, right of it", inSynSent, SynSent, 2, false},
		{"SYN_RCVD, its SYN", inSynRcvd, SynRcvd, 0, true},
		{"SYN_RCVD, left of it", inSynRcvd, SynRcvd, -1, false},
		{"SYN_RCVD, right of it", inSynRcvd, SynRcvd, 2, false},
		{"request, its SYN-ACK", inRequest, SynRcvd, 0, true},
		{"request, just behind it", inRequest, SynRcvd, 1, false},
		{"request, left of it", inRequest, SynRcvd, -1, false},
		{"request without an answer", `C> S 0:0 = SYN_SENT SYN_RCVD`, SynRcvd, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, set := range settings {
				told(t, set, row.opening, hostUnreachable, row.seq, row.was, row.ends)
			}
		})
	}
}

// An error ends no connection that is up, or closing, whatever its kind.
func TestICMPSynchronized(t *testing.T) {
	states := map[State]script{
		FinWait1: inFinWait1, FinWait2: inFinWait2, CloseWait: inCloseWait,
		LastAck: inLastAck, Closing: inClosing, TimeWait: inTimeWait,
	}
	for was, opening := range states {
		for code := range uint8(16) {
			e := wire.ICMP{From: netip.MustParseAddr("10.77.1.1"), Type: wire.ICMPv4Unreachable, Code: code}
			told(t, settings[0], opening, e, 101, was, false)
		}
	}
}

// told gives S an error about the number n that it has sent, and looks at its state.
func told(t *testing.T, set setting, opening script, e wire.ICMP, n int, was State, ends bool) {
	t.Helper()
	l := newLab(t, set)
	l.run(opening)
	c, d := l.find("S")
	if c.State(d) != was {
		t.Fatalf("%s: the script leads to %v, want %v", set.name, c.State(d), was)
	}
	e.Seq = l.hosts["S"].isn.Add(uint32(n))
	l.table.DeliveredICMP(l.now, c, d, &e)
	want := was
	if ends {
		want = Closed
	}
	if got := c.State(d); got != want {
		t.Errorf("%s: about %d: %v, want %v", set.name, n, got, want)
	}
	if problem := l.check("", false, 0, false); problem != "" {
		t.Error(problem)
	}
}

// Linux drops an error that arrives while the process has the socket. What comes next tells.
func TestICMPMissed(t *testing.T) {
	hostUnreachable := wire.ICMP{From: netip.MustParseAddr("10.77.1.1"), Type: wire.ICMPv4Unreachable, Code: 1}
	for _, row := range []struct {
		name string
		then script
	}{
		{"the SYN again", `
			+1s S> S 0:0               = SYN_RCVD SYN_SENT evidence
			C> S. 0:0 ack 1            = SYN_RCVD ESTABLISHED
			S> . 1:1 ack 1             = ESTABLISHED ESTABLISHED
		`},
		{"the answer to the SYN-ACK", `
			S! S 0:0                   = SYN_RCVD CLOSED
			C> S. 0:0 ack 1            = SYN_RCVD CLOSED
			S> . 1:1 ack 1             = ESTABLISHED ESTABLISHED evidence
			S> P. 1:101 ack 1          = ESTABLISHED ESTABLISHED
			C> . 1:1 ack 101           = ESTABLISHED ESTABLISHED
		`},
		{"the RST of a host that has heard it", `
			S! S 0:0                   = SYN_RCVD CLOSED
			C> S. 0:0 ack 1            = SYN_RCVD CLOSED
			S> R 1:1                   = CLOSED CLOSED
		`},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, set := range settings {
				l := newLab(t, set)
				l.run(`Sx S 0:0               = CLOSED SYN_SENT`)
				c, d := l.find("S")
				e := hostUnreachable
				e.Seq = l.hosts["S"].isn
				l.table.DeliveredICMP(l.now, c, d, &e)
				l.run(row.then)
			}
		})
	}
}
