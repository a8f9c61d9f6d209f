package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// holdFault keeps a segment until something happens. While it is kept, its
// retransmissions are swallowed: a held FIN, SYN or data is known by its
// sequence numbers, whatever it is merged with.
type holdFault struct {
	Until     until         `rule:"until,primary" doc:"peer-fin, peer-syn, peer-data: the other endpoint sends one; next: a later segment of this direction has gone; release: a release action, step or call; tag:NAME: the connection gets the tag"`
	Timeout   time.Duration `rule:"timeout" doc:"the longest it is kept" default:"0s"`
	OnTimeout string        `rule:"on_timeout" doc:"what then" enum:"release,drop" default:"release"`
	Behind    bool          `rule:"behind" doc:"hold everything after it in its direction, too" default:"false"`
}

var _ = register("hold", "keep the segment until something happens", terminal, func() Fault { return new(holdFault) })

// Check refuses a hold without an end, or with an end that never comes.
func (f *holdFault) Check() []rules.Problem {
	switch {
	case f.Timeout > 0:
	case f.Until.event == untilNever:
		return []rules.Problem{{Err: `hold needs "until", "timeout" or both`}}
	case f.OnTimeout == "drop":
		return []rules.Problem{{Key: "on_timeout", Err: `on_timeout = "drop" needs "timeout": without it there is none`}}
	case f.Until.event == untilNext && f.Behind:
		return []rules.Problem{{Key: "behind", Other: "until", Err: `what comes later is held behind it, so until = "next" never comes; give it a "timeout"`}}
	}
	return nil
}

func (f *holdFault) Apply(j *Journey) {
	if f.Until.past(j) || !j.decide(Hold) {
		return
	}
	j.hold = f
	j.tell("hold", func() string { return "until " + f.Until.String() })
}

// An until is the event that ends a hold.
type until struct {
	event untilEvent
	tag   string
}

type untilEvent uint8

const (
	untilNever untilEvent = iota // only the timeout
	untilPeerFin
	untilPeerSyn
	untilPeerData
	untilNext
	untilRelease
	untilTag
)

var untilNames = []string{"", "peer-fin", "peer-syn", "peer-data", "next", "release"}

// UnmarshalText reads the event's name.
func (u *until) UnmarshalText(text []byte) error {
	if tag, ok := strings.CutPrefix(string(text), "tag:"); ok && tag != "" {
		*u = until{untilTag, tag}
		return nil
	}
	for i, name := range untilNames[1:] {
		if name == string(text) {
			*u = until{event: untilEvent(i + 1)}
			return nil
		}
	}
	return fmt.Errorf("unknown event %q; there is %s, tag:NAME", text, strings.Join(untilNames[1:], ", "))
}

// String is the event as a rule file writes it.
func (u until) String() string {
	if u.event == untilTag {
		return "tag:" + u.tag
	}
	if u.event == untilNever {
		return "timeout"
	}
	return untilNames[u.event]
}

// past tells whether the event has happened before the segment came, so that
// there is nothing to wait for: of two crossing FINs the second releases the
// first and passes.
func (u until) past(j *Journey) bool {
	peer := j.Conn.End(j.Dir.Peer())
	switch u.event {
	case untilPeerFin:
		_, sent := peer.FIN()
		return sent
	case untilPeerSyn:
		_, sent := peer.ISN()
		return sent && !peer.Prior()
	case untilTag:
		return j.flow.tags.meets(tags{j.box.tag(u.tag)})
	}
	return false
}

// ends tells whether the segment in hand is the event that a wait waits for.
func (u until) ends(j *Journey, dir conntrack.Dir) bool {
	fromPeer := dir != j.Dir
	switch u.event {
	case untilPeerFin:
		return fromPeer && j.Seg.Flags.Has(wire.FIN)
	case untilPeerSyn:
		return fromPeer && j.Seg.Flags.Has(wire.SYN)
	case untilPeerData:
		return fromPeer && j.Seg.Len > 0
	case untilNext:
		return !fromPeer && (j.verdict == Pass || j.verdict == Delay)
	}
	return false
}

// holdBack keeps the segment in hand.
func (b *Box) holdBack(j *Journey) {
	w := b.waitAlone(j, fate{rule: j.by, kinds: j.Kinds})
	w.verdict = Hold
	b.keepHeld(j, w)
}

// keepHeld puts a wait among what the flow holds.
func (b *Box) keepHeld(j *Journey, w wait) {
	if j.reorder != nil {
		b.letOvertake(j, w)
		return
	}
	due := never
	if j.hold.Timeout > 0 && j.leader == 0 {
		due = j.Now + j.hold.Timeout
	}
	w.hold, w.leader = j.hold, j.leader
	j.flow.held = append(j.flow.held, b.enqueue(w, due))
}

// release lets go what the segment in hand was waited for.
func (b *Box) release(j *Journey) {
	if len(j.flow.held) > 0 {
		b.releaseHeld(j.flow, func(w *wait) bool { return w.hold.Until.ends(j, w.dir) })
	}
}

// unhold ends a hold: the segment leaves, and those that stand behind it, each unless it
// stands behind another one, too. That one leads it then.
func (b *Box) unhold(f *flow, place uint32) {
	b.waitAt(place).leader = place + 1 // it goes as they do
	for _, p := range f.held {
		w := b.waitAt(p)
		if w.leader != place+1 {
			continue
		}
		ahead := b.leaderOf(f, w.dir, w.ordinal)
		if ahead == 0 || b.waitAt(ahead-1).arrival > w.arrival {
			continue
		}
		w.hold, w.rule, w.leader = b.waitAt(ahead-1).hold, b.waitAt(ahead-1).rule, ahead
		b.queue.Clear(int(p))
	}
	b.dismiss(f, place, b.letGo)
}

// dismiss takes what a place leads from the flow, and lets it go the given way.
func (b *Box) dismiss(f *flow, place uint32, let func(place uint32)) {
	var going []uint32
	f.held = slices.DeleteFunc(f.held, func(p uint32) bool {
		goes := b.waitAt(p).leader == place+1
		if goes {
			going = append(going, p)
		}
		return goes
	})
	for _, p := range going {
		let(p)
	}
}

// letGo lets out what was held: now, or after what has been delayed before it.
func (b *Box) letGo(place uint32) {
	w := b.settle(place)
	c, d := b.connOf(&w)
	if c != nil {
		if f := b.flowOf(c); f != nil {
			due := max(f.order[d], b.now)
			f.order[d] = due + w.spans
			if due > b.now {
				w.hold, w.leader = nil, 0
				b.enqueue(w, due)
				return
			}
		}
	}
	b.leave(w)
}

// leaderOf is the held segment that everything in a direction has to stand
// behind, as its place plus one; 0 if there is none. One of an earlier incarnation, which the
// flow has taken over, leads only what came with it.
func (b *Box) leaderOf(f *flow, d conntrack.Dir, conn uint64) uint32 {
	for _, place := range f.held {
		if w := b.waitAt(place); w.dir == d && w.ordinal == conn && w.leader == 0 && w.hold.Behind {
			return place + 1
		}
	}
	return 0
}

// timedOut ends a hold at its timeout.
func (b *Box) timedOut(place uint32) {
	w := b.waitAt(place)
	f := b.flowAt(w)
	if f == nil {
		b.lose(place, LossGone)
		return
	}
	if w.hold.OnTimeout == "drop" {
		w.leader = place + 1
		b.dismiss(f, place, b.discard)
		return
	}
	b.unhold(f, place)
}

// discard drops a held segment in the name of its rule.
func (b *Box) discard(place uint32) {
	w := b.settle(place)
	b.stats.Verdicts[Drop]++
	if c, _ := b.connOf(&w); c != nil && b.cfg.OnEvent != nil {
		b.event(c, Event{Type: EventRule, Rules: w.rule.names, Action: "hold", Detail: "dropped at its timeout"})
	}
	w.buf.Free()
}
