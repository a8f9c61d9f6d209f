package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// Flags are TCP flags with the bits they have in the header (RFC 9293, section
// 3.1), written as letters: "SA". As a parameter of a fault they read that form.
type Flags uint16

// The flags.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// flagLetters are the letters in the order of the bits.
const flagLetters = "FSRPAUEC"

// core are the flags that "SA" speaks about even where it leaves them out.
const core = FIN | SYN | RST | ACK

// String is the letters of the flags.
func (f Flags) String() string {
	var b strings.Builder
	for i, letter := range flagLetters {
		if f&(1<<i) != 0 {
			b.WriteRune(letter)
		}
	}
	return b.String()
}

// UnmarshalText reads letters of FSRPAUEC.
func (f *Flags) UnmarshalText(text []byte) error {
	*f = 0
	for _, letter := range string(text) {
		flag := flagOf(letter)
		if flag == 0 {
			return noFlag(string(text), letter)
		}
		*f |= flag
	}
	return nil
}

// flagOf is the flag of a letter, or 0.
func flagOf(letter rune) Flags {
	if i := strings.IndexRune(flagLetters, letter); i >= 0 {
		return 1 << i
	}
	return 0
}

// flagNames are the flags as others call them, in the order of the bits.
var flagNames = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

func noFlag(text string, letter rune) error {
	capitals := strings.ToUpper(text)
	switch i := slices.Index(flagNames, capitals); {
	case i >= 0:
		return fmt.Errorf("%q is written %q", text, flagLetters[i:i+1])
	case text != capitals && strings.Trim(capitals, flagLetters+"+-") == "":
		return fmt.Errorf("flags are capitals; write %q", capitals)
	}
	return fmt.Errorf("%q is no flag; the letters are %s", string(letter), flagLetters)
}

// A FlagMatch holds some flags of a segment against what is wanted.
type FlagMatch struct {
	Care uint16 // the flags that count
	Want uint16 // those of them that must be set; the others must be clear
}

// Match tells whether a segment with these flags is meant.
func (m FlagMatch) Match(flags uint16) bool { return flags&m.Care == m.Want }

// String is the match as a rule file writes it with signs.
func (m FlagMatch) String() string {
	var b strings.Builder
	for i, letter := range flagLetters {
		bit := uint16(1) << i
		switch {
		case m.Want&bit != 0:
			b.WriteString("+" + string(letter))
		case m.Care&bit != 0:
			b.WriteString("-" + string(letter))
		}
	}
	return b.String()
}

// A Flagset is alternatives; none at all means any flags.
type Flagset []FlagMatch

// Match tells whether one of the alternatives holds.
func (fs Flagset) Match(flags uint16) bool {
	for _, m := range fs {
		if m.Match(flags) {
			return true
		}
	}
	return len(fs) == 0
}

// String lists the alternatives.
func (fs Flagset) String() string { return list(fs) }

// ParseFlags reads "SA", exactly these of FSRA (other letters must be set too), or
// "+F-R", F set and R clear.
func ParseFlags(text string) (FlagMatch, error) {
	if !strings.ContainsAny(text, "+-") {
		var want Flags
		err := want.UnmarshalText([]byte(text))
		return FlagMatch{Care: uint16(core | want), Want: uint16(want)}, err
	}
	return parseSigned(text)
}

func parseSigned(text string) (m FlagMatch, err error) {
	sign := ' '
	for _, letter := range text {
		if letter == '+' || letter == '-' {
			sign = letter
			continue
		}
		flag := uint16(flagOf(letter))
		switch {
		case flag == 0:
			return m, noFlag(text, letter)
		case sign == ' ':
			return m, fmt.Errorf(`%q has a sign only later; write "+%s"`, text, text)
		case m.Care&flag != 0:
			return m, fmt.Errorf("%q names %c twice", text, letter)
		}
		m.Care |= flag
		if sign == '+' {
			m.Want |= flag
		}
	}
	if m.Care == 0 {
		return m, fmt.Errorf("%q names no flag; the letters are %s", text, flagLetters)
	}
	return m, nil
}

func readFlags(v tomldoc.Value) (fs Flagset) {
	for _, item := range v.List() {
		text, ok := item.Text()
		if !ok {
			continue
		}
		m, err := ParseFlags(text)
		if err != nil {
			item.Errorf("%w", err)
		}
		fs = append(fs, m)
	}
	return fs
}
