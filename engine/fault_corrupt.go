package engine

import (
	"fmt"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// corruptFault turns bits of a segment round, one in each of some bytes. With a wrong
// checksum its receiver's kernel throws it away.
type corruptFault struct {
	Bytes    int    `rule:"bytes,primary" doc:"in how many bytes a bit is turned round" default:"1" min:"1" max:"65535"`
	Where    string `rule:"where" doc:"in the payload; or in the TCP header, but for its options, ports, length and checksum, so that it reaches the connection" enum:"payload,header" default:"payload"`
	Checksum string `rule:"checksum" doc:"fix: right again, and the receiver takes the segment; keep: as it was, and so wrong" enum:"fix,keep" default:"fix"`
}

var _ = register("corrupt", "turn bits round, as the seed says", onward, func() Fault { return new(corruptFault) })

func (f *corruptFault) Apply(j *Journey) {
	if j.Kinds.Has(conntrack.KindICMP) {
		return
	}
	if f.Where == "payload" && j.Seg.Len == 0 {
		j.tell("corrupt", func() string { return "it has no payload" })
		return
	}
	packet, at := j.copyOwn().Bytes(), j.packet.HeaderLen()
	part, spare := packet[at:], []int(nil)
	if f.Where == "header" {
		part, spare = packet[j.packet.IPHeaderLen():][:fixedHeader], spared[:]
	}
	n, last := f.corrupt(j, part, spare)
	switch {
	case f.Checksum == "fix" && !j.mods.spoiled:
		wire.FixChecksums(packet)
	case wire.VerifyChecksums(packet) == nil:
		part[last] ^= 1 // what was turned round cancelled out: one bit more cannot
	}
	j.mods.spoiled = wire.VerifyChecksums(packet) != nil
	j.tell("corrupt", func() string { return fmt.Sprintf("%d bytes of the %s, checksum %s", n, f.Where, f.Checksum) })
}

// fixedHeader is the size of a TCP header without options.
const fixedHeader = 20

// spared are the bytes of a TCP header by which a segment finds its connection, and
// without which there is none: ports, header length, checksum.
var spared = [...]int{0, 1, 2, 3, 12, 16, 17}

// corruptSalt and those behind it, two for each byte, are for the dice of corrupt.
const corruptSalt uint64 = 1 << 32

// corrupt turns a bit round in so many bytes of a part, or in all if there are no more
// than that; each choice of bytes is as likely as another. It tells in how many, and the
// place of the last.
func (f *corruptFault) corrupt(j *Journey, part []byte, spare []int) (n, last int) {
	key := j.chanceKey(j.counts.ordinal)
	rest := len(part) - len(spare)
	for i := range part {
		if len(spare) > 0 && spare[0] == i {
			spare = spare[1:]
			continue
		}
		salt := corruptSalt + 2*uint64(i)
		if j.rule.chance(key, salt)*float64(rest) < float64(f.Bytes-n) {
			part[i] ^= 1 << int(j.rule.chance(key, salt+1)*8)
			n, last = n+1, i
		}
		rest--
	}
	return n, last
}

// copyOwn is the copy of the segment in hand that is edited in its place.
func (j *Journey) copyOwn() *Buf {
	if j.own == nil {
		j.own = j.copySent()
	}
	return j.own
}
