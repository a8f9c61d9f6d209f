package conntrack

import "time"

// A Cause says what an inferred state rests on.
type Cause uint8

// The causes of a change of state.
const (
	BySending  Cause = iota // the endpoint sent the segment that means it
	ByDelivery              // the model of the receiver followed from a delivery
	ByTimer                 // a timer of the endpoint must have run out
	Evidence                // the wire contradicted the inference: a desync
)

// String is the cause as events write it.
func (c Cause) String() string {
	return [...]string{"sent", "delivered", "timer", "evidence"}[c]
}

// A step is one look at a connection: the table, the connection, the time.
type step struct {
	t   *Table
	c   *Conn
	now time.Duration
}

// move changes the state of an endpoint and reports it.
func (st *step) move(d Dir, to State, why Cause) {
	x := &st.c.ends[d]
	if x.state == to {
		return
	}
	from := x.state
	x.state = to
	if why == ByDelivery {
		x.moved = st.now
	}
	st.t.cfg.Observer.Changed(st.c, d, from, to, why)
	if to == TimeWait {
		st.enterTimeWait(d)
	}
}

// settled looks at the connection once a segment has been taken in: it may
// have closed, or come back from it, or belong into another list.
func (st *step) settled() {
	c := st.c
	if closed := c.Closed(); closed != c.gone {
		c.gone = closed
		if closed {
			st.t.cfg.Observer.Closed(c, Ended)
			st.schedule(st.now + remembered)
		}
	}
	if c.class != c.classNow() {
		st.t.refile(st.now, c)
	}
}

func (st *step) stack(d Dir) Stack { return st.t.cfg.Stacks[st.c.Side(d)] }

// A Stack is what may differ between the hosts of the endpoints. The zero
// Stack is Linux as it comes.
type Stack struct {
	// RFC1337 is net.ipv4.tcp_rfc1337: a RST does not end TIME_WAIT.
	RFC1337 bool
	// NoTimeWait is net.ipv4.tcp_max_tw_buckets = 0: what would be TIME_WAIT is CLOSED.
	NoTimeWait bool
}
