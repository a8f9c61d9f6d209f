package ladder

import (
	"fmt"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// An icmpSay is an ICMP error about a segment of the endpoint that it goes to, as
// a script writes it.
type icmpSay struct {
	kind wire.ICMPKind
	seq  uint32 // relative to that endpoint's ISN
	mtu  uint32 // of frag-needed
}

// usualMTU is what an error tells unless the script says another.
const usualMTU = 1280

// icmp reads KIND about SEQ, and perhaps mtu N.
func (p *parser) icmp(l *line) *icmpSay {
	t := l.next()
	kind, ok := wire.ParseICMPKind(t.text)
	if !ok {
		p.fail(t, unknown("ICMP error", t.text, wire.ICMPKindNames()))
		l.tokens = nil
		return nil
	}
	if t := l.next(); t.text != "about" {
		p.errorf(t, `write "icmp KIND about SEQ", SEQ being that of the segment that it quotes`)
		l.tokens = nil
		return nil
	}
	say := &icmpSay{kind, uint32(p.number(l, 32)), usualMTU}
	if l.accept("mtu") {
		say.mtu = uint32(p.number(l, 32))
	}
	return say
}

// buildICMP makes an error about a segment that the other side has sent.
func (p *player) buildICMP(c *conn, from int, say *icmpSay) []byte {
	quoted := wire.Build{
		Src: p.addr(c, 1-from), Dst: p.addr(c, from),
		Seq: p.shifted[c][1-from] + say.seq, Flags: wire.ACK,
	}
	e := wire.ICMPBuild{
		From: hosts[p.ip()][from], To: hosts[p.ip()][1-from],
		MTU: say.mtu, Quote: quoted.Append(nil),
	}
	e.Type, e.Code = say.kind.Code(p.ip() == 6)
	return e.Append(nil)
}

// compareICMP holds what has left against the error that a line expects: all but how
// much of the segment it quotes.
func (p *player) compareICMP(c *conn, side int, say *icmpSay, got *packet) error {
	want, _ := wire.ParseICMPError(p.buildICMP(c, 1-side, say))
	e, ok := wire.ParseICMPError(got.data)
	switch {
	case !ok:
		return fmt.Errorf("what left is no ICMP error: %x", got.data)
	case e != want:
		return fmt.Errorf("it is %+v, want %+v", e, want)
	}
	return wire.VerifyChecksums(got.data)
}
