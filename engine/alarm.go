package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// An alarm has the Box look at a connection when the earliest of its moments may
// have come. What puts a moment off, as a segment does that of a silence, does not
// move the alarm: the Box looks in vain, and again at the right time. So an alarm
// costs a passing segment next to nothing.

// adopt gives a flow its candidates, in file order: those that look at segments, and
// those that act at moments.
func (b *Box) adopt(c *conntrack.Conn, f *flow, chosen []candidate) {
	f.rules, f.moments = f.rules[:0], f.moments[:0]
	for _, one := range chosen {
		if one.moment == nil {
			f.rules = append(f.rules, one)
			continue
		}
		one.begin(c, b.now)
		f.moments = append(f.moments, one)
	}
	b.arm(c, f)
}

// arm sets the alarm of a connection to the earliest of its moments. An alarm that
// is set for an earlier time already stays.
func (b *Box) arm(c *conntrack.Conn, f *flow) {
	at := never
	for i := range f.moments {
		at = sooner(at, f.moments[i].due(c))
	}
	if at == never {
		b.alarms.Clear(c.Index())
		return
	}
	b.wake(c, at)
}

// wake has the Box look at a connection at a time, or before.
func (b *Box) wake(c *conntrack.Conn, at time.Duration) {
	if set, ok := b.alarms.At(c.Index()); !ok || at < set {
		b.alarms.Set(c.Index(), at)
	}
}

// ring looks at the connection whose alarm is the first.
func (b *Box) ring() {
	index, _ := b.alarms.Pop(b.now)
	if c := b.table.At(index); c != nil {
		b.attend(c)
	}
}

// attend looks at a connection whose alarm was due.
func (b *Box) attend(c *conntrack.Conn) {
	if f := b.flowOf(c); f != nil {
		b.examine(c, f)
		b.arm(c, f)
	}
}

// hasten looks at a connection now if its alarm is due, though others may stand before it.
func (b *Box) hasten(c *conntrack.Conn) {
	if at, ok := b.alarms.At(c.Index()); ok && at <= b.now {
		b.alarms.Clear(c.Index())
		b.attend(c)
	}
}

// hastenFor does that for the connection of the packet in hand, before which its moments come, where
// so many are due that Advance has left some.
func (b *Box) hastenFor() {
	if at, ok := b.alarms.Next(); !ok || at > b.now {
		return
	}
	if c, _ := b.table.FindPacket(&b.packet); c != nil {
		b.hasten(c)
	}
}

// examine lets the rules act whose moments have come, from top to bottom.
func (b *Box) examine(c *conntrack.Conn, f *flow) {
	for i := range f.moments {
		one := &f.moments[i]
		if at := one.due(c); at != never && at <= b.now {
			b.judge(c, f, one)
		}
	}
}

// judge lets a rule act on a connection, if what match says holds at this moment.
func (b *Box) judge(c *conntrack.Conn, f *flow, one *candidate) {
	j := &b.journey
	*j = Journey{Now: b.now, Conn: c, Idle: b.now - c.LastSeen(), box: b, flow: f, fired: j.fired[:0], counts: one}
	failed, saw := one.matchConn(j)
	if failed == nothing {
		failed, saw = one.limitMoment(j)
	}
	one.pass(b.now)
	b.explainMoment(one, c, failed, saw)
	if failed != nothing {
		one.missed(failed, saw)
		return
	}
	one.fired++
	one.rule.fired++
	j.apply(one)
	b.emitAfter(j)
}

// stirred: an endpoint is about to be seen to send, which ends a silence.
func (b *Box) stirred(c *conntrack.Conn, f *flow) {
	for i := range f.moments {
		if one := &f.moments[i]; one.At.Idle > 0 && one.awake() {
			one.witness(c, b.now)
			b.wake(c, b.now+one.At.Idle)
		}
	}
}

// moved: the state of an endpoint has changed.
func (b *Box) moved(c *conntrack.Conn, f *flow, d conntrack.Dir, from, to conntrack.State) {
	for i := range f.moments {
		one := &f.moments[i]
		was, is := one.inState(d, from), one.inState(d, to)
		switch {
		case is && !was:
			one.enter(d, b.now)
		case was && !is:
			one.witness(c, b.now)
			one.moment.since[d] = never
		}
	}
	if ended(c) && !over.Has(from) {
		f.witness(c, b.now)
	}
	b.arm(c, f)
}

// armAll sets the alarms anew, after a rule has been woken or put to sleep.
func (b *Box) armAll() {
	b.table.All(func(c *conntrack.Conn) bool {
		if f := b.flowOf(c); f != nil && len(f.moments) > 0 {
			b.arm(c, f)
		}
		return true
	})
}
