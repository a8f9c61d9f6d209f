package ladder

import (
	"fmt"
	"strconv"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// connect reads "connect [wscale CLIENT SERVER] [ts]": the steps of a handshake
// that passes. Window scaling is 7 on both sides unless it says otherwise, "-" for
// a side without; timestamps are offered with ts.
func (p *parser) connect(l *line, s step) {
	scales := [2]int{7, 7}
	if l.accept("wscale") {
		scales = [2]int{p.scale(l), p.scale(l)}
	}
	stamps := l.accept("ts")
	one, wide := uint32(1), uint16(65535)
	for _, a := range []arrive{
		{0, spec{flags: wire.SYN, win: &wide, options: synOptions(scales[0], stamps, 100, 0)}, passes},
		{1, spec{flags: wire.SYN | wire.ACK, ack: &one, win: &wide, options: synOptions(scales[1], stamps, 200, 100)}, passes},
		{0, spec{flags: wire.ACK, seq: 1, ack: &one, options: ackOptions(stamps, 100, 200)}, passes},
	} {
		s.do = a
		p.steps = append(p.steps, s)
		s.after = 0
	}
}

// scale reads a window shift, -1 for none.
func (p *parser) scale(l *line) int {
	t := l.next()
	if t.text == "-" {
		return -1
	}
	n, err := strconv.ParseUint(t.text, 10, 8)
	if err != nil {
		p.fail(t, fmt.Errorf("%q is not a window shift; write a number, or - for none", t.text))
	}
	return int(n)
}

func synOptions(scale int, stamps bool, val, ecr uint32) []option {
	o := []option{{wire.OptMSS, []uint32{1460}}, {wire.OptSACKPermitted, nil}}
	if stamps {
		o = append(o, option{wire.OptTimestamps, []uint32{val, ecr}})
	}
	if scale >= 0 {
		o = append(o, option{wire.OptNOP, nil}, option{wire.OptWScale, []uint32{uint32(scale)}})
	}
	return o
}

func ackOptions(stamps bool, val, ecr uint32) []option {
	if !stamps {
		return nil
	}
	return []option{{wire.OptNOP, nil}, {wire.OptNOP, nil}, {wire.OptTimestamps, []uint32{val, ecr}}}
}
