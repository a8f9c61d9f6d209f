package ladder

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A spec is a packet as a script writes it.
type spec struct {
	same bool     // "=": as it came in
	raw  []byte   // "raw HEX": any bytes
	icmp *icmpSay // "icmp KIND about SEQ"

	flags    wire.Flags
	anySeq   bool   // "*": wherever it stands
	seq      uint32 // relative to its sender's ISN
	size     uint32 // payload bytes
	ack      *uint32
	win      *uint16
	options  []option // nil: not said
	text     []byte   // payload; by default what the stream holds at its place
	at       *uint32  // the place of the stream that the payload comes from, if it is another
	flips    int      // so many bits of the payload are the wrong way round
	gso      int
	partial  bool // the checksum is left to the device
	badsum   bool // the checksum is wrong
	hasFlags bool
}

// segment reads what follows an arrow.
func (p *parser) segment(l *line) (s spec) {
	switch first := l.peek(); {
	case l.accept("="):
		s.same = true
	case l.accept("raw"):
		t := l.next()
		raw, err := hex.DecodeString(t.text)
		if err != nil || len(raw) == 0 {
			p.errorf(t, `write "raw" and the packet's bytes as hexadecimal digits without blanks`)
		}
		s.raw = raw
	case l.accept("icmp"):
		s.icmp = p.icmp(l)
	case first == "":
		p.errorf(l.next(), `a segment is missing; write FLAGS SEQ:END(LEN), as in "S. 0:0(0) ack 1", or =`)
	default:
		p.tcp(l, &s)
	}
	return s
}

// tcp reads FLAGS SEQ:END(LEN) and what may be said besides.
func (p *parser) tcp(l *line, s *spec) {
	t := l.next()
	flags, err := parseFlags(t.text)
	if err != nil {
		p.fail(t, err)
		l.tokens = nil
		return
	}
	s.flags, s.hasFlags = flags, true
	t = l.next()
	if s.anySeq = t.text == "*"; s.anySeq {
		t.text = "0:0(0)"
	}
	if s.seq, s.size, err = parseSpan(t.text); err != nil {
		p.fail(t, err)
		l.tokens = nil
		return
	}
	for l.peek() != "" {
		p.attribute(l, s)
	}
	p.sound(t, s)
}

var attributes = []string{"ack", "win", "gso", "text", "at", "flips", "partial", "badsum"}

func (p *parser) attribute(l *line, s *spec) {
	t := l.next()
	switch {
	case t.text == "ack":
		n := uint32(p.number(l, 32))
		s.ack = &n
	case t.text == "win":
		n := uint16(p.number(l, 16))
		s.win = &n
	case t.text == "gso":
		s.gso = int(p.number(l, 16))
	case t.text == "at":
		n := uint32(p.number(l, 32))
		s.at = &n
	case t.text == "flips":
		s.flips = int(p.number(l, 16))
	case t.text == "partial":
		s.partial = true
	case t.text == "badsum":
		s.badsum = true
	case t.text == "text":
		s.text = []byte(p.quoted(l))
	case strings.HasPrefix(t.text, "<"):
		options, err := parseOptions(t.text)
		if err != nil {
			p.fail(t, err)
		}
		s.options = options
	default:
		p.fail(t, unknown("word", t.text, attributes))
		l.tokens = nil
	}
}

// sound refuses what is well written and makes no packet.
func (p *parser) sound(span token, s *spec) {
	switch {
	case s.ack != nil && !s.flags.Has(wire.ACK):
		p.errorf(span, `"ack" needs the ACK flag, a dot`)
	case s.text != nil && len(s.text) != int(s.size):
		p.errorf(span, "the text has %d bytes, the segment %d", len(s.text), s.size)
	case s.gso > 0 && int(s.size) <= s.gso:
		p.errorf(span, "this is one segment; leave gso out")
	case s.gso > 0 && s.flags&(wire.SYN|wire.RST) != 0:
		p.errorf(span, "no super-packet has SYN or RST")
	}
}

// parseFlags reads letters, with packetdrill's dot for ACK; "-" is none.
func parseFlags(text string) (wire.Flags, error) {
	if text == "-" {
		return 0, nil
	}
	f, err := wire.ParseFlags(strings.ReplaceAll(text, ".", "A"))
	if err != nil {
		return 0, fmt.Errorf("%q are no flags; write letters of SFRPUEC and a dot for ACK", text)
	}
	return f, nil
}

// flagsText is the inverse of parseFlags.
func flagsText(f wire.Flags) string {
	text := strings.ReplaceAll(f.String(), "A", "") + strings.Repeat(".", int(f&wire.ACK)/int(wire.ACK))
	if text == "" {
		return "-"
	}
	return text
}

var spanForm = regexp.MustCompile(`^(\d+):(\d+)\((\d+)\)$`)

// maxPayload is what fits into a packet with headers of any size.
const maxPayload = 65535 - wire.MaxHeader

// parseSpan reads SEQ:END(LEN).
func parseSpan(text string) (from, size uint32, err error) {
	m := spanForm.FindStringSubmatch(text)
	if m == nil {
		return 0, 0, fmt.Errorf("%q is not SEQ:END(LEN), as in 1:101(100)", text)
	}
	var n [3]uint64
	for i := range n {
		if n[i], err = strconv.ParseUint(m[i+1], 10, 32); err != nil {
			return 0, 0, fmt.Errorf("%s is more than a sequence number holds", m[i+1])
		}
	}
	if n[2] > maxPayload {
		return 0, 0, errors.New("no packet has that much payload")
	}
	if uint32(n[0]+n[2]) != uint32(n[1]) {
		return 0, 0, fmt.Errorf("the numbers disagree; write %d:%d(%d)", n[0], uint32(n[0]+n[2]), n[2])
	}
	return uint32(n[0]), uint32(n[2]), nil
}
