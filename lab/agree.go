package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// tolerance is how long an inferred state may differ from the kernel's. A segment is
// on its way between the two for microseconds; the rest is the machine's scheduling,
// which on a busy one may keep the box from reading for longer than that. So what has
// lasted too long is looked at again when the box has caught up.
const tolerance = 100 * time.Millisecond

// maxGap is between two samples that say something about the time between them. Beyond
// shortGap they do not tell whether a socket that went had been given a segment before.
const (
	maxGap   = 50 * time.Millisecond
	shortGap = 2 * pollEvery
)

// An Agreement is how the inferred states compare with what the kernels showed.
type Agreement struct {
	OK       bool          // no difference lasted beyond the tolerance
	Compared int           // states of endpoints, sample by sample
	Agreed   int           // of these
	Longest  time.Duration // of all differences, tolerated ones included
	// Differences are those that lasted longer than 100 ms.
	Differences []Difference
	// Silent are the endpoints that ended without a segment, by a timer or by being
	// destroyed: the wire cannot tell, so the inferred state stayed.
	Silent []SilentEnd
	// Refused are the differences that a listener's kernel has counted and no segment
	// has told of: they are none.
	Refused []Refusal
}

// A Difference is an inferred state that was not the kernel's.
type Difference struct {
	Client, Server netip.AddrPort // by hosts
	Host           string         // whose endpoint
	Inferred       conntrack.State
	Kernel         conntrack.State
	Since          time.Duration // the client's start
	For            time.Duration
}

// kind is what it has in common with others of its sort.
func (d Difference) kind() string { return fmt.Sprint(d.Host, d.Inferred, d.Kernel) }

// String is one line.
func (d Difference) String() string {
	return fmt.Sprintf("%v to %v: the %s's endpoint is inferred to be %v, its kernel has it in %v, since %.3fs for %v",
		d.Client, d.Server, d.Host, d.Inferred, d.Kernel, d.Since.Seconds(), d.For.Round(time.Millisecond))
}

// A SilentEnd is an endpoint that ended without a word on the wire.
type SilentEnd struct {
	Client, Server netip.AddrPort // by hosts
	Host           string
	State          conntrack.State // the last one that both agreed on
	At             time.Duration   // since the client's start
}

// String is one line.
func (s SilentEnd) String() string {
	return fmt.Sprintf("%v to %v: the %s's endpoint ended silently in %v at %s", s.Client, s.Server, s.Host, s.State, since(s.At))
}

// kind is what it has in common with others of its sort.
func (s SilentEnd) kind() string { return fmt.Sprint(s.Host, s.State) }

// A comparison holds inferred states against samples. One goroutine uses it.
type comparison struct {
	report Agreement
	ends   map[tuple]*[2]endpoint
	last   time.Duration      // when the sample before was taken
	caught bool               // the box has read all that was sent before this sample
	counts [2]counters        // of the hosts' kernels; valid if caught
	doubt  bool               // a difference has lasted too long, if the box has caught up
	stacks [2]conntrack.Stack // what the sysctls of the hosts have made of their kernels

	refusals [2]counters // how many of what the hosts have counted are in the report
}

// An endpoint is what the comparison remembers of one.
type endpoint struct {
	agreed   conntrack.State
	agreedAt time.Duration
	ever     bool // agreed is valid
	remnant  bool // there was no more than that of the socket
	silent   bool // it ended without a segment
	since    time.Duration
	differs  bool            // since is valid
	inferred conntrack.State // of the last difference, and so are the next four
	kernel   conntrack.State
	listened bool // there was a listener on its port then
	told     int  // its place + 1 in the report
	refused  bool // it has been counted as a refusal
}

func newComparison() *comparison {
	return &comparison{ends: make(map[tuple]*[2]endpoint), refusals: [2]counters{{}, {}}}
}

// compare holds one sample against what is inferred now. It tells whether it is in
// doubt, and wants another sample for confirm.
func (c *comparison) compare(s *sample, o *observer) (doubt bool) {
	c.doubt = false
	c.hold(s, o)
	return c.doubt
}

// confirm is compare of a sample that was taken after the box had caught up with both
// hosts: a difference that is still the same is one, unless the kernels have counted why.
func (c *comparison) confirm(s *sample, o *observer, counts [2]counters) {
	c.caught, c.counts = true, counts
	c.hold(s, o)
	c.caught = false
}

func (c *comparison) hold(s *sample, o *observer) {
	gap := s.at - c.last
	c.last = s.at
	o.view(func(t tuple, in *inference) {
		both := c.ends[t]
		if both == nil {
			both = new([2]endpoint)
			c.ends[t] = both
		}
		kernel := s.ends(t)
		for side := range both {
			e := &both[side]
			e.pass(s.at, gap)
			c.endpoint(s.at, t, side, e, kernel[side], in)
		}
	})
}

// pass takes an endpoint over the time since the sample before.
func (e *endpoint) pass(now, gap time.Duration) {
	if gap > shortGap && !e.differs {
		e.agreedAt = now // it may have gone by itself, after what it was given
	}
	if gap > maxGap {
		e.differs = false // what was between the samples is unknown
	}
}

// endpoint compares one endpoint.
func (c *comparison) endpoint(now time.Duration, t tuple, side int, e *endpoint, k end, in *inference) {
	inferred := in.states[side]
	if e.silent && !k.present && inferred != conntrack.Closed {
		return
	}
	e.silent = false
	if c.ended(now, t, side, e, k, in) {
		return
	}
	c.report.Compared++
	if k.state == inferred {
		c.report.Agreed++
		*e = endpoint{agreed: inferred, agreedAt: now, ever: true, remnant: k.remnant}
		return
	}
	if k.unsent && finQueued(k.state, inferred) {
		e.differs = false
		return
	}
	same := e.inferred == inferred && e.kernel == k.state
	if !e.differs || !same {
		e.differs, e.since, e.told = true, now, 0
		e.inferred, e.kernel, e.listened, e.refused = inferred, k.state, k.listening, e.refused && same
	}
	c.differ(now, t, side, e)
}

// ended tells whether the endpoint has ended silently: its socket is gone, and since
// both agreed on the inferred state it has neither sent nor been given a segment. FIN_WAIT_2 of a
// closed socket, which the wire cannot tell from one that was shut down, ends by what that refuses
// (tcp_timewait_state_process); and without room for TIME_WAIT there is none.
func (c *comparison) ended(now time.Duration, t tuple, side int, e *endpoint, k end, in *inference) bool {
	inferred := in.states[side]
	seen := e.ever && e.agreed == inferred && in.touched[side] <= e.agreedAt
	untold := inferred == conntrack.FinWait2 && (e.remnant || c.stacks[side].NoTimeWait)
	if k.present || inferred == conntrack.Closed || !seen && !untold {
		return false
	}
	e.agreed = inferred
	c.silence(now, t, side, e)
	return true
}

func (c *comparison) silence(now time.Duration, t tuple, side int, e *endpoint) {
	e.silent, e.differs = true, false
	c.report.Silent = append(c.report.Silent, SilentEnd{t[0], t[1], sideNames[side], e.agreed, now})
}

// silent tells whether an endpoint has ended that the box still takes for alive.
func (c *comparison) silent() bool {
	for _, both := range c.ends {
		if both[0].silent || both[1].silent {
			return true
		}
	}
	return false
}

// gone tells that all sockets of a host were taken away without a segment.
func (c *comparison) gone(now time.Duration, side int, o *observer) {
	o.view(func(t tuple, in *inference) {
		both := c.ends[t]
		if both == nil || both[side].silent || in.states[side] == conntrack.Closed {
			return
		}
		both[side].agreed = in.states[side]
		c.silence(now, t, side, &both[side])
	})
}

// finQueued: the program has closed, and the FIN waits behind data that the peer has
// not taken. The kernel counts that as sent; on the wire there is no FIN yet.
func finQueued(kernel, inferred conntrack.State) bool {
	return kernel == conntrack.FinWait1 && inferred == conntrack.Established ||
		kernel == conntrack.LastAck && inferred == conntrack.CloseWait ||
		kernel == conntrack.Closing && inferred == conntrack.CloseWait
}

// differ notes a difference, and reports it once it has lasted too long for sure.
func (c *comparison) differ(now time.Duration, t tuple, side int, e *endpoint) {
	if e.refused {
		return
	}
	lasted := now - e.since
	c.report.Longest = max(c.report.Longest, lasted)
	if e.told > 0 {
		c.report.Differences[e.told-1].For = lasted
		return
	}
	if lasted <= tolerance {
		return
	}
	if !c.caught {
		c.doubt = true
		return
	}
	if e.refused = c.refused(t, side, e, c.counts[side]); e.refused {
		return
	}
	c.report.Differences = append(c.report.Differences,
		Difference{t[0], t[1], sideNames[side], e.inferred, e.kernel, e.since, lasted})
	e.told = len(c.report.Differences)
}

// result is the agreement so far; began is the client's start on the samples' clock.
func (c *comparison) result(began time.Duration) Agreement {
	a := c.report
	a.OK = len(a.Differences) == 0
	a.Differences, a.Silent, a.Refused = slices.Clone(a.Differences), slices.Clone(a.Silent), slices.Clone(a.Refused)
	for i := range a.Differences {
		a.Differences[i].Since -= began
	}
	for i := range a.Silent {
		a.Silent[i].At -= began
	}
	for i := range a.Refused {
		a.Refused[i].At -= began
	}
	return a
}
