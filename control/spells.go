package control

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Spells are the times for which something has held without a break: of each thing that a wait is
// about, by a key. Times are those of events, on the box's clock, so it does not matter how soon
// after them somebody looks. Who uses one guards it.
type spells struct {
	lasts    time.Duration // so long a spell has to be
	deadline time.Duration // one that begins later does not count
	since    map[uint64]time.Duration
	longest  time.Duration // of those that have ended too soon
	heard    time.Duration // all that has happened until then is known

	met bool // one was long enough:
	key uint64
	at  time.Duration // and began then
}

func newSpells(lasts, deadline time.Duration) spells {
	return spells{lasts: lasts, deadline: deadline, since: make(map[uint64]time.Duration)}
}

// found is the time of what a look finds: it may have been so since what is known, so it is not too late
// unless that is.
func (s *spells) found(now time.Duration) time.Duration {
	if s.heard < s.deadline {
		return min(now, s.deadline)
	}
	return now
}

// set tells that from a time on something holds, or does no longer.
func (s *spells) set(key uint64, at time.Duration, holds bool) {
	began, held := s.since[key]
	switch {
	case s.met || holds == held || holds && at > s.deadline:
		return
	case holds:
		s.since[key] = at
		s.judge(key, at, at)
	default:
		s.judge(key, began, at)
		s.longest = max(s.longest, at-began)
		delete(s.since, key)
	}
}

// judge meets the condition if a spell has lasted long enough at a time.
func (s *spells) judge(key uint64, began, now time.Duration) {
	if !s.met && now-began >= s.lasts {
		s.met, s.key, s.at = true, key, began
	}
}

// reach tells that all is known until now: what holds has held until then.
func (s *spells) reach(now time.Duration) {
	s.heard = now
	for _, key := range s.keys() {
		s.judge(key, s.since[key], now)
	}
}

// keys are those of the spells that last, the oldest first.
func (s *spells) keys() []uint64 {
	return slices.SortedFunc(maps.Keys(s.since), func(a, b uint64) int {
		return cmp.Or(cmp.Compare(s.since[a], s.since[b]), cmp.Compare(a, b))
	})
}

// next is when the condition is met, or failed, if nothing happens before.
func (s *spells) next() time.Duration {
	if len(s.since) == 0 {
		return s.deadline
	}
	return slices.Min(slices.Collect(maps.Values(s.since))) + s.lasts
}

// over tells that the condition cannot be met any more.
func (s *spells) over() bool {
	return !s.met && len(s.since) == 0 && s.heard >= s.deadline
}
