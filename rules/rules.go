// Package rules is what a rule file may say: which segments, how often, and what
// happens to them.
//
// Load, Parse and MustParse read TOML into a Set, or refuse the whole text with
// every mistake in it at its place (Errors). A Set only says what is wanted: the
// engine selects, counts and acts. Faults make themselves known with Register, so
// that a rule's action can be checked against the parameters that its fault takes;
// Faults, MatchKeys, LimitKeys and RuleKeys are the reference of all of it.
package rules

import (
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// A Set is the rules of one or more files, in their order. It is immutable and
// safe for concurrent use; hit counts live in the engine.
type Set struct {
	Title   string
	Seed    uint64
	HasSeed bool // Seed was given; 0 is a seed like any other
	Rules   []*Rule

	byName map[string]*Rule
}

// Rule is the rule of that name, or nil.
func (s *Set) Rule(name string) *Rule { return s.byName[name] }

// A Rule is a match, counts and actions.
type Rule struct {
	Name  string // unique in its set; "rule-N" by default, N its place in the set
	Index int    // in Set.Rules, from 0
	File  string
	Line  int // of its header
	Match Match
	At    *At // acts at a moment of a connection; nil: on segments
	Limits
	Actions  []Action // at least one; only the last may end the walk
	Enabled  bool     // false: loaded, but asleep until it is enabled
	Optional bool     // may stay unfired without being a failure
}

// A Match is a set of predicates. All of them must hold; the zero value of each
// holds for every segment, and several values of one mean any of them.
type Match struct {
	Port        Ranges       // the server's
	Client      Addrs        // the client's address
	Server      Addrs        // the server's address
	From        Role         // of the sender
	Segment     SegmentMatch // kinds
	Flags       Flagset      // TCP flags
	Option      OptionSet    // TCP options, one of which it carries
	ClientState conntrack.StateSet
	ServerState conntrack.StateSet
	Connection  Ordinals // among those that the address keys select, in SYN order
	Incarnation Ordinals // of the 4-tuple
	Length      Ranges   // payload bytes
	Offset      Offsets  // of the payload in the stream of its direction
	Payload     Patterns // found in the payload
	PayloadHex  Bytes    // found in the payload
	Age         DurationRanges
	Idle        DurationRanges
	Opened      DurationRanges // box time at which the connection opened
	Tags        []string       // one of them is set on the connection
	NotTags     []string       // none of them is
}

// Limits say how often a rule fires. The zero value of a field sets no limit,
// except for Probability and Share, which a parsed rule has at 1.
type Limits struct {
	Nth            Ranges // of the matching segments of a connection and direction, from 1
	Every          int    // each n-th of them
	Count          int    // firings per connection
	Total          int    // firings in all
	Probability    float64
	HasProbability bool            // Probability was given
	GilbertElliott *GilbertElliott // in place of Probability
	Share          float64         // of the connections, decided once for each
	After          time.Duration   // from the box's start or the rule's last load
	For            time.Duration   // from then on; 0 = without end
}

// GilbertElliott is a two-state loss model: bursts, as on a radio link.
type GilbertElliott struct {
	P        float64 // from good to bad, per segment
	R        float64 // from bad to good
	LossGood float64 // chance of firing in the good state
	LossBad  float64 // and in the bad state
}

// An Action is one fault with its parameters.
type Action struct {
	Name string

	// Params is the pointer that the fault's constructor made, filled with defaults
	// and what the file says; nil if the fault takes no parameters. It is shared by
	// everyone who uses the Set and must not be written to.
	Params any

	Line, Col int // where the action's name stands
}
