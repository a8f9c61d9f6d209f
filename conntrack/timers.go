package conntrack

import "time"

// remembered is how long a closed connection is kept, so that the next SYN on
// its 4-tuple is known for a new incarnation.
const remembered = 2 * time.Minute

// schedule has the table look at the connection's timers at a time, or before.
func (st *step) schedule(at time.Duration) {
	if c := st.c; c.due == 0 || at < c.due {
		c.due = at
		st.t.timers.Push(at, c.index)
	}
}

// enterTimeWait begins the wait of an endpoint, or begins it again.
func (st *step) enterTimeWait(d Dir) {
	if st.stack(d).NoTimeWait {
		st.move(d, Closed, ByTimer)
		return
	}
	st.c.ends[d].moved = st.now
	st.schedule(st.now + timeWait)
}

// The longest wait of Linux between two retransmissions (TCP_RTO_MAX), and the
// shortest after which we call an endpoint silent: its first interval may be that
// of a tail loss probe or of an answer to what came twice, and says little about
// the timeout that follows, which begins at 1 s (RFC 6298, section 2.1).
const (
	rtoMax   = 120 * time.Second
	silence  = 3 * time.Second
	slowness = 8 // the timer wheel is late by up to an eighth
)

// silentAt is when an endpoint that had to retransmit by then must be gone.
func (x *Endpoint) silentAt() time.Duration {
	next := min(2*x.gap.duration(), rtoMax)
	return x.resent + max(next+next/slowness, silence)
}

// arm has the table look at an endpoint when its timer runs out.
func (st *step) arm(d Dir) {
	if at, ok := st.c.ends[d].timer(); ok {
		st.schedule(at)
	}
}

// NextTimer is when Expire has something to do; ok is false if never.
func (t *Table) NextTimer() (at time.Duration, ok bool) { return t.timers.Next() }

// Expire lets the timers run out that are due: the end of TIME_WAIT, the
// silence of an endpoint that should have retransmitted, the end of the memory
// of a closed connection. It returns after at most limit of them, so
// that the caller's packets do not wait.
func (t *Table) Expire(now time.Duration, limit int) {
	for range limit {
		index, at, ok := t.timers.Pop(now)
		if !ok {
			return
		}
		c := t.at(index)
		if c.due != at {
			continue // scheduled earlier since, or another connection's
		}
		c.due = 0
		st := step{t, c, now}
		st.expire()
	}
}

func (st *step) expire() {
	for d := range st.c.ends {
		at, ok := st.c.ends[d].timer()
		switch {
		case !ok:
		case st.now < at:
			st.schedule(at)
		default:
			st.move(Dir(d), Closed, ByTimer)
		}
	}
	st.settled()
	c := st.c
	if !c.gone {
		return
	}
	if forget := max(c.seen, c.filed) + remembered; st.now < forget {
		st.schedule(forget)
		return
	}
	st.t.remove(c)
}

// timer is when the endpoint is gone unless something happens first.
func (x *Endpoint) timer() (at time.Duration, ok bool) {
	switch {
	case x.state == TimeWait:
		return x.moved + timeWait, true
	case x.state != Closed && x.gap > 0 && x.una != x.nxt:
		return x.silentAt(), true
	}
	return 0, false
}

// timeWait is the length of TIME_WAIT in Linux (TCP_TIMEWAIT_LEN); measured,
// it ends up to 3.5 % later.
const timeWait = 61 * time.Second
