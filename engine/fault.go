package engine

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A Fault is what an action of a rule does to a segment. One value serves all
// segments of a Box; it keeps nothing of them.
//
// Each fault stands in a file of its own, with its keys: the fields of the
// struct that its registration makes.
type Fault interface {
	// Apply acts on the segment in hand, or arranges for something to leave
	// after it. The walk ends there if the fault was registered as terminal.
	Apply(j *Journey)
}

// A trait of a fault tells how it takes part in a walk; see register.
type trait uint8

const (
	terminal trait = 1 << iota // decides the segment's fate: the walk ends there
	anytime                    // may act on a connection without a segment in hand
	onward   trait = 0         // acts, and the walk goes on
)

// plain holds the faults that take no parameters.
var plain = map[string]Fault{}

// register makes a fault known to rule files under a name, with the sentence that the
// reference has on it. newFault gives one with its defaults unset.
func register(name, doc string, has trait, newFault func() Fault) bool {
	rules.Register(name, doc, func() any { return newFault() }, has.options())
	return true
}

// registerPlain is register for a fault without parameters.
func registerPlain(name, doc string, has trait, f Fault) bool {
	rules.Register(name, doc, nil, has.options())
	plain[name] = f
	return true
}

func (t trait) options() rules.Options {
	return rules.Options{Terminal: t&terminal != 0, Anytime: t&anytime != 0}
}

// A Journey is one segment on its way through the Box, from the moment its
// sender has sent it. It is valid until Apply returns.
type Journey struct {
	Now   time.Duration
	Conn  *conntrack.Conn
	Dir   conntrack.Dir
	Seg   *conntrack.Segment
	Kinds conntrack.Kinds
	Idle  time.Duration // silence on the connection before it

	box     *Box
	flow    *flow
	packet  *wire.Packet
	place   int        // which virtual segment of packet
	again   bool       // covers sequence space sent before
	times   uint32     // the how manieth transmission of its place this is, from 1
	rule    *rule      // the one that acts
	by      *rule      // the one that has decided its fate
	counts  *candidate // of that rule on this connection
	fired   []string
	verdict Verdict
	reason  string
	due     time.Duration // of Delay
	late    time.Duration // what shaping adds to its fate
	spans   time.Duration // how long it takes to leave: what follows it waits for so long
	cutter  *rule         // of the last split
	keep    bool          // Delay: nothing may overtake it
	hold    *holdFault    // of Hold, or
	reorder *reorderFault // that which may be overtaken
	leader  uint32        // of Hold: whom it stands behind; see wait
	mods    mods          // how it is edited as it leaves
	own     *Buf          // a copy of it whose payload or header is edited already; nil: there is none
	edited  bool          // what leaves of it at once is not as it was sent
}

// role is who sent the segment, in all the words that a rule has for it.
func (j *Journey) role() rules.Role {
	r := rules.RoleClient
	if j.Dir == conntrack.FromServer {
		r = rules.RoleServer
	}
	if closer, ok := j.Conn.Closer(); ok {
		if closer == j.Dir {
			r |= rules.RoleActiveCloser
		} else {
			r |= rules.RolePassiveCloser
		}
	}
	return r
}

// copySegment is the segment in hand as a packet of its own; of an ICMP error,
// which has no segments, it is the packet.
func (j *Journey) copySegment() *Buf {
	if j.Kinds.Has(conntrack.KindICMP) {
		return j.box.copyPacket()
	}
	if j.own != nil {
		return j.box.pool.copyOf(j.own)
	}
	return j.copySent()
}

// takeOwn gives the segment's own copy to the caller.
func (j *Journey) takeOwn() *Buf {
	own := j.own
	j.own = nil
	return own
}

func (j *Journey) dropOwn() {
	if j.own != nil {
		j.takeOwn().Free()
	}
}

// copySent is the segment in hand as it was sent, as a packet of its own.
func (j *Journey) copySent() *Buf {
	if j.Kinds.Has(conntrack.KindICMP) {
		return j.box.copyPacket()
	}
	size := j.packet.HeaderLen() + int(j.Seg.Len)
	buf := j.box.pool.Get(size)
	buf.n = len(j.packet.Materialize(j.place, buf.raw[:0]))
	return buf
}

// apply lets the actions of a rule that has fired act, in their order. It
// tells whether the walk ends.
func (j *Journey) apply(c *candidate) bool {
	j.rule, j.counts = c.rule, c
	j.fired = append(j.fired, c.Name)
	for _, f := range c.faults {
		f.Apply(j)
	}
	return c.ends
}

// decide settles the fate of the segment, if nothing has yet: what a black hole
// has taken no later rule gives back.
func (j *Journey) decide(v Verdict) bool {
	if j.verdict != Pass {
		return false
	}
	j.verdict, j.by = v, j.rule
	return true
}

// lose drops the segment before any rule has seen it: for the black hole or
// the like that r has made, or for a reason of the box itself.
func (j *Journey) lose(r *rule, reason string) {
	j.verdict, j.reason = Drop, reason
	if r != nil {
		j.by = r
		j.fired = append(j.fired, r.Name)
	}
}

// dice is a number in [0, 1) that belongs to this segment and the rule that acts.
func (j *Journey) dice(salt uint64) float64 {
	return j.rule.chance(j.chanceKey(j.counts.ordinal), salt)
}

// leaveAfter lets something leave besides the segment, after it.
func (j *Journey) leaveAfter(p pending) {
	p.rule = j.rule
	j.box.after = append(j.box.after, p)
}

// nothingToAdd is the detail of an action without parameters.
func nothingToAdd() string { return "" }

// tell reports what an action does, in words made only if somebody listens.
func (j *Journey) tell(action string, detail func() string) {
	b := j.box
	if b.cfg.OnEvent == nil {
		return
	}
	b.event(j.Conn, Event{Type: EventRule, Rules: j.rule.names, Action: action, Detail: detail()})
}
