package rules

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// An Option is the kind of a TCP option (IANA, TCP Option Kind Numbers). As a
// parameter of a fault it reads what the match key `option` does.
type Option uint8

// optionNames are the kinds that have a name in rule files.
var optionNames = []struct {
	name string
	kind Option
}{
	{"timestamps", Option(wire.OptTimestamps)},
	{"sack-permitted", Option(wire.OptSACKPermitted)},
	{"sack", Option(wire.OptSACK)},
	{"wscale", Option(wire.OptWScale)},
	{"mss", Option(wire.OptMSS)},
	{"fastopen", Option(wire.OptFastOpen)},
	{"mptcp", Option(wire.OptMPTCP)},
	{"md5", Option(wire.OptMD5)},
}

// OptionNames lists the options that have a name.
func OptionNames() (names []string) {
	for _, o := range optionNames {
		names = append(names, o.name)
	}
	return names
}

// String is the option's name, or its number.
func (o Option) String() string {
	for _, named := range optionNames {
		if named.kind == o {
			return named.name
		}
	}
	return strconv.Itoa(int(o))
}

// Values lists the names that UnmarshalText knows; it reads numbers, too.
func (Option) Values() []string { return OptionNames() }

// UnmarshalText reads a name or a number.
func (o *Option) UnmarshalText(text []byte) error {
	word := string(text)
	for _, named := range optionNames {
		if named.name == word {
			*o = named.kind
			return nil
		}
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return unknown("option", word, OptionNames())
	}
	*o = Option(n)
	return optionNumber(n)
}

// optionNumber refuses what is no kind: 0 and 1 only fill the header (RFC 9293,
// section 3.2).
func optionNumber(n int64) error {
	if n == int64(wire.OptEOL) || n == int64(wire.OptNOP) {
		return fmt.Errorf("%d is padding, not an option", n)
	}
	return bounded(n, 2, 255)
}

// An OptionSet is a set of TCP options, by kind. As a match it means any of them;
// the zero value matches every segment.
type OptionSet [4]uint64

// Add puts a kind into the set.
func (s *OptionSet) Add(kind uint8) { s[kind/64] |= 1 << (kind % 64) }

// Has tells whether a kind is in the set.
func (s *OptionSet) Has(kind uint8) bool { return s[kind/64]&(1<<(kind%64)) != 0 }

// Match tells whether a segment that carries these options is meant.
func (s *OptionSet) Match(carried OptionSet) bool {
	for i := range s {
		if s[i]&carried[i] != 0 {
			return true
		}
	}
	return *s == OptionSet{}
}

// String lists the options by number.
func (s OptionSet) String() string {
	var names []string
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			names = append(names, Option(64*i+bits.TrailingZeros64(word)).String())
		}
	}
	return strings.Join(names, ", ")
}

// readOptions reads a name, a number, or a list of them.
func readOptions(v tomldoc.Value) (set OptionSet) {
	for _, item := range v.List() {
		var o Option
		err := error(nil)
		switch data := item.Any().(type) {
		case int64:
			o, err = Option(data), optionNumber(data)
		case string:
			err = o.UnmarshalText([]byte(data))
		default:
			err = fmt.Errorf(`must be the name or number of a TCP option, like "timestamps" or 8`)
		}
		if err != nil {
			item.Errorf("%w", err)
			continue
		}
		set.Add(uint8(o))
	}
	return set
}
