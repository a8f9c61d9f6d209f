package engine

import (
	"fmt"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A predicate is one condition of a rule, in the order in which they are
// asked; a rule that never fired is explained by the last one it got to.
type predicate uint8

const (
	nothing predicate = iota
	byPort
	byClient
	byServer
	byConnection
	byIncarnation
	byShare
	byEnabled
	byFrom
	bySegment
	byFlags
	byLength
	byClientState
	byServerState
	byAge
	byIdle
	byOpened
	byTag
	byNotTag
	byWindow
	byNth
	byEvery
	byCount
	byProbability
	byTotal
)

// A nearMiss is the failed predicate that came latest, and what it saw last.
type nearMiss struct {
	failed predicate
	saw    int64
	times  uint64
}

// missed notes a failed predicate.
func (r *rule) missed(p predicate, saw int64) { r.closest.add(nearMiss{p, saw, 1}) }

// add notes a miss that came later.
func (m *nearMiss) add(later nearMiss) {
	switch {
	case later.failed > m.failed:
		*m = later
	case later.failed == m.failed:
		m.saw = later.saw
		m.times += later.times
	}
}

// whyNot says in words why the rule has never fired.
func (r *rule) whyNot(m nearMiss) string {
	if m.failed == nothing {
		if len(r.Match.Port) > 0 {
			return fmt.Sprintf("no connection had port = %s", r.Match.Port)
		}
		return "no segment came by"
	}
	wanted, saw := r.wanted(m)
	of := "segment"
	if m.failed < byEnabled {
		of = "connection"
	}
	if m.times > 1 {
		of += "s"
	}
	return fmt.Sprintf("closest: %d %s got as far as %s%s", m.times, of, wanted, saw)
}

// wanted names the key that failed with its value, and what there was instead.
func (r *rule) wanted(m nearMiss) (key, saw string) {
	match := &r.Match
	last := func(v any) string { return fmt.Sprintf(", the last one had %v", v) }
	switch m.failed {
	case byPort:
		return fmt.Sprintf("port = %s", match.Port), last(m.saw)
	case byClient:
		return fmt.Sprintf("client = %s", match.Client), ""
	case byServer:
		return fmt.Sprintf("server = %s", match.Server), ""
	case byConnection:
		return fmt.Sprintf("connection = %s", match.Connection), last(m.saw)
	case byIncarnation:
		return fmt.Sprintf("incarnation = %s", match.Incarnation), last(m.saw)
	case byShare:
		return fmt.Sprintf("share = %v", r.Share), ""
	case byEnabled:
		return "enabled = false", ""
	case byFrom:
		return fmt.Sprintf("from = %s", match.From), last(conntrack.Dir(m.saw))
	case bySegment:
		return fmt.Sprintf("segment = %s", match.Segment), last(conntrack.Kinds(m.saw))
	case byFlags:
		return fmt.Sprintf("flags = %s", match.Flags), last(wire.Flags(m.saw))
	case byLength:
		return fmt.Sprintf("length = %s", match.Length), last(m.saw)
	case byClientState:
		return fmt.Sprintf("client_state = %s", match.ClientState), last(conntrack.State(m.saw))
	case byServerState:
		return fmt.Sprintf("server_state = %s", match.ServerState), last(conntrack.State(m.saw))
	case byAge:
		return fmt.Sprintf("age = %s", match.Age), last(time.Duration(m.saw))
	case byIdle:
		return fmt.Sprintf("idle = %s", match.Idle), last(time.Duration(m.saw))
	case byOpened:
		return fmt.Sprintf("opened = %s", match.Opened), last(time.Duration(m.saw))
	case byTag:
		return fmt.Sprintf("tag = %q", match.Tags), ""
	case byNotTag:
		return fmt.Sprintf("not_tag = %q", match.NotTags), ""
	case byWindow:
		return fmt.Sprintf("after = %q, for = %q", r.After, r.For), last(time.Duration(m.saw))
	case byNth:
		return fmt.Sprintf("nth = %s", r.Nth), last(m.saw)
	case byEvery:
		return fmt.Sprintf("every = %d", r.Every), last(m.saw)
	case byCount:
		return fmt.Sprintf("count = %d", r.Count), ""
	case byProbability:
		return fmt.Sprintf("probability = %v", r.Probability), ""
	}
	return fmt.Sprintf("total = %d", r.Total), ""
}
