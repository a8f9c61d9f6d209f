package lab

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// A Refusal is a difference that no segment has told of: a part of the handshake was
// delivered, and the listener has not taken it. It says so, if at all, when it repeats
// its SYN-ACK; its kernel has counted it.
type Refusal struct {
	Client, Server netip.AddrPort // by hosts
	Host           string         // whose endpoint
	Why            string
	Inferred       conntrack.State
	Kernel         conntrack.State
	At             time.Duration // since the client's start
}

// String is one line.
func (r Refusal) String() string {
	return fmt.Sprintf("%v to %v: the %s has not taken what was delivered: %s; its kernel has %v where %v is inferred, since %s",
		r.Client, r.Server, r.Host, r.Why, r.Kernel, r.Inferred, since(r.At))
}

// kind is what it has in common with others of its sort.
func (r Refusal) kind() string { return fmt.Sprint(r.Host, r.Why, r.Kernel, r.Inferred) }

// refusals are why a listener does not take a part of a handshake, and the counter of
// its kernel that tells how often.
var refusals = []struct {
	counter, why     string
	kernel, inferred conntrack.StateSet
}{
	// tcp_conn_request drops the SYN, tcp_v4_syn_recv_sock the last ACK, and all that
	// comes after it.
	{"ListenOverflows", "its accept queue was full",
		conntrack.StatesOf(conntrack.Closed, conntrack.SynRcvd),
		conntrack.StatesOf(conntrack.SynRcvd, conntrack.Established, conntrack.CloseWait)},
	// tcp_conn_request: without cookies there are no more requests than the backlog.
	{"TCPReqQFullDrop", "its queue of requests was full",
		conntrack.StatesOf(conntrack.Closed),
		conntrack.StatesOf(conntrack.SynRcvd)},
	// tcp_check_req: an ACK without data is not what it waits for.
	{"TCPDeferAcceptDrop", "it waits for data (TCP_DEFER_ACCEPT)",
		conntrack.StatesOf(conntrack.SynRcvd),
		conntrack.StatesOf(conntrack.Established)},
	// tcp_conn_request: the SYN-ACK holds all that it has to remember.
	{"SyncookiesSent", "it has sent a SYN cookie, and keeps nothing until the ACK",
		conntrack.StatesOf(conntrack.Closed),
		conntrack.StatesOf(conntrack.SynRcvd)},
}

// refused tells whether the endpoint's kernel has counted why it differs: each time is
// good for one endpoint, and for none whose handshake is known to have been completed, or
// that no listener can have refused.
func (c *comparison) refused(t tuple, side int, e *endpoint, counted counters) bool {
	if e.ever && e.agreed != conntrack.Closed && e.agreed != conntrack.SynRcvd {
		return false
	}
	if e.kernel == conntrack.Closed && !e.listened {
		return false
	}
	for _, r := range refusals {
		if !r.kernel.Has(e.kernel) || !r.inferred.Has(e.inferred) {
			continue
		}
		if known := c.refusals[side]; known[r.counter] < counted[r.counter] {
			known[r.counter]++
			c.report.Refused = append(c.report.Refused,
				Refusal{t[0], t[1], sideNames[side], r.why, e.inferred, e.kernel, e.since})
			return true
		}
	}
	return false
}
