package wire

import "fmt"

// Flags are the control bits of a TCP header (RFC 9293, section 3.1), and AE
// above them.
type Flags uint16

// The control bits at their places in the header.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
	AE // RFC 9768; the NS of RFC 3540. It has no letter.
)

// allFlags is what Packet.Flags can return and SetFlags can set.
const allFlags = AE<<1 - 1

// flagLetters is the order in which flags are written, the telling ones first.
var flagLetters = [...]struct {
	letter byte
	flag   Flags
}{{'S', SYN}, {'F', FIN}, {'R', RST}, {'P', PSH}, {'A', ACK}, {'U', URG}, {'E', ECE}, {'C', CWR}}

// Has tells whether every flag of x is set in f.
func (f Flags) Has(x Flags) bool { return f&x == x }

// String is the letters of the set flags in the order SFRPAUEC: "SA", "FPA", and
// "" for none.
func (f Flags) String() string {
	var buf [len(flagLetters)]byte
	text := buf[:0]
	for _, l := range flagLetters {
		if f.Has(l.flag) {
			text = append(text, l.letter)
		}
	}
	return string(text)
}

// ParseFlags reads the letters SFRPAUEC, in any order and either case.
func ParseFlags(text string) (f Flags, err error) {
	for _, r := range text {
		flag := flagOf(r)
		if flag == 0 {
			return 0, fmt.Errorf("flags %q: %q is none of SFRPAUEC", text, r)
		}
		f |= flag
	}
	return f, nil
}

// flagOf is the flag of a letter, 0 if it has none.
func flagOf(r rune) Flags {
	for _, l := range flagLetters {
		if r == rune(l.letter) || r == rune(l.letter)+'a'-'A' {
			return l.flag
		}
	}
	return 0
}
