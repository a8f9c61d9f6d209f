package engine

import (
	"fmt"
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
	byMoment
	byEnabled
	byFrom
	bySegment
	byFlags
	byLength
	byOffset
	byOption
	byClientState
	byServerState
	byAge
	byIdle
	byOpened
	byTag
	byNotTag
	byPayloadHex
	byPayload
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
func (r *rule) whyNot(m nearMiss, nearest approach) string {
	if m.failed == nothing {
		if len(r.Match.Port) > 0 {
			return fmt.Sprintf("no connection had port = %s", r.Match.Port)
		}
		return "no segment came by"
	}
	if m.failed == byMoment {
		return nearest.words(r.At)
	}
	said := r.words(m.failed, m.saw)
	of := "segment"
	switch {
	case m.failed < byMoment:
		of = "connection"
	case r.At != nil:
		of = "moment"
	}
	if m.times > 1 {
		of += "s"
	}
	closest := fmt.Sprintf("closest: %d %s got as far as %s", m.times, of, said.predicate)
	if said.saw != "" {
		closest += ", the last one had " + said.saw
	}
	return closest
}
