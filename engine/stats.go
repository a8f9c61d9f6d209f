package engine

import "github.com/tcpmangle/tcpmangle/internal/wire"

// A Verdict is what became of a segment.
type Verdict uint8

// The verdicts. Forged is for segments that nobody sent.
const (
	Pass Verdict = iota
	Drop
	Delay
	Hold
	Forged
	numVerdicts
)

// String is the verdict as events write it.
func (v Verdict) String() string {
	return [...]string{"pass", "drop", "delay", "hold", "forged"}[v]
}

// A Loss is a reason for which a segment did not go out although no rule
// dropped it.
type Loss uint8

// The losses; each is counted, none is silent.
const (
	LossQueue    Loss = iota // too much is waiting already
	LossShutdown             // it was waiting when the run ended
	LossGone                 // it was held, or to be forged, for a connection that has been forgotten
	LossWrite                // the device refused it
	LossMuted                // its host has lost its power
	LossHealed               // it was to be forged later, and the faults are off
	numLosses
)

// String is the reason as events and metrics write it.
func (l Loss) String() string {
	return [...]string{"queue", "shutdown", "gone", "write", "muted", "healed"}[l]
}

// Stats counts what a Box has done.
type Stats struct {
	Packets   [2]uint64               // read, by device
	Bytes     [2]uint64               // of these packets
	Segments  uint64                  // TCP segments, virtual ones counted one by one
	Verdicts  [numVerdicts]uint64     // of segments
	Others    [wire.NumReasons]uint64 // packets that passed because they are no TCP segment, by wire.Reason
	Untracked uint64                  // segments that passed because they belong to no connection
	Whole     uint64                  // packets forwarded as they came since no rule can concern them
	AtOnce    uint64                  // segments for which one look at the first of their train stood
	Swallowed uint64                  // retransmissions of held segments
	Losses    [numLosses]uint64
	Waiting   int // segments held or delayed now
	WaitBytes int // the memory that they take, with recorded ones and what each worker reads into
	Moments   int // connections on which a rule with `at` has a moment to come
	Lateness  Lateness
}

// add adds what another Box has done.
func (s *Stats) add(o Stats) {
	for side := range s.Packets {
		s.Packets[side] += o.Packets[side]
		s.Bytes[side] += o.Bytes[side]
	}
	s.Segments += o.Segments
	addTo(s.Verdicts[:], o.Verdicts[:])
	addTo(s.Others[:], o.Others[:])
	s.Untracked += o.Untracked
	s.Whole += o.Whole
	s.AtOnce += o.AtOnce
	s.Swallowed += o.Swallowed
	addTo(s.Losses[:], o.Losses[:])
	s.Waiting += o.Waiting
	s.WaitBytes += o.WaitBytes
	s.Moments += o.Moments
	addTo(s.Lateness[:], o.Lateness[:])
}

func addTo(sums, more []uint64) {
	for i, n := range more {
		sums[i] += n
	}
}

// OtherNames names the elements of Stats.Others.
func OtherNames() (names []string) {
	for r := range wire.Reason(wire.NumReasons) {
		names = append(names, r.String())
	}
	return names
}

// LossNames names the elements of Stats.Losses.
func LossNames() (names []string) {
	for l := range numLosses {
		names = append(names, l.String())
	}
	return names
}
