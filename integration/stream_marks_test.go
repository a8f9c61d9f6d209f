package integration

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// markSome is a router on the way that has congestion: it marks data of those who
// understand (RFC 3168, section 5), every two hundredth packet.
func markSome() func(side int, data []byte) {
	n := 0
	return func(side int, data []byte) {
		var p wire.Packet
		if p.Parse(data, 0, false) != wire.OK || p.PayloadLen() == 0 || ecn(data) == 0 {
			return
		}
		if n++; n%200 == 0 {
			congested(data)
		}
	}
}

const ce = 3

// ecn is the ECN field of an IP header.
func ecn(data []byte) byte {
	if data[0]>>4 == 6 {
		return data[1] >> 4 & ce
	}
	return data[1] & ce
}

// congested sets the field to CE, and the IPv4 checksum with it.
func congested(data []byte) {
	if data[0]>>4 == 6 {
		data[1] |= ce << 4
		return
	}
	data[1] |= ce
	header := data[:int(data[0]&15)*4]
	binary.BigEndian.PutUint16(header[10:], 0)
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(header[10:], ^uint16(sum+sum>>16))
}

// marks counts, by sender, segments with a flag that only one segment of a
// super-packet has, or that makes the kernel send none: CWR, FIN, PSH, URG.
type marks [2][4]int

var marked = [4]wire.Flags{wire.CWR, wire.FIN, wire.PSH, wire.URG}

// note counts a packet on an interface if it was sent there.
func (m *marks) note(side int, data []byte) {
	var p wire.Packet
	if p.Parse(data, 0, false) != wire.OK || (p.SrcPort() == servePort) != (side == 1) || p.Flags().Has(wire.SYN) {
		return
	}
	for i, f := range marked {
		if p.Flags().Has(f) {
			m[side][i]++
		}
	}
}

// marks counts what has come in.
func (r *recording) marks() (m marks) {
	for i := range r.packets {
		m.note(r.packets[i].side, r.packets[i].data)
	}
	return m
}

// finOnMany is what a recording may need several attempts for.
const finOnMany = "FIN on a super-packet"

// contents counts what a recording holds.
func (r *recording) contents() (n map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = map[string]int{}
	count := func(what string, holds bool) {
		if holds {
			n[what]++
		}
	}
	for _, in := range r.packets {
		var p wire.Packet
		if p.Parse(in.data, in.header.GSO(), in.header.Partial()) != wire.OK {
			continue
		}
		many, f := p.Segments() > 1, p.Flags()
		count(fmt.Sprintf("segments of %d", p.GSO()), many)
		count("super-packets", many)
		count("partial checksums", p.Partial())
		count("PSH on a super-packet", many && f.Has(wire.PSH))
		count(finOnMany, many && f.Has(wire.FIN))
		count("CWR on a super-packet", many && f.Has(wire.CWR) && in.header.GSOType&tunnel.GSOECN != 0)
		count("ECE", f.Has(wire.ECE) && !f.Has(wire.SYN))
		count("CE on a super-packet", many && ecn(in.data) == ce)
		count("URG", f.Has(wire.URG))
	}
	return n
}

// hasEverything wants a recording to hold what it was made for.
func (r *recording) hasEverything(t *testing.T) {
	t.Helper()
	n := r.contents()
	t.Log(n)
	for _, what := range []string{
		"super-packets", "partial checksums", "PSH on a super-packet", finOnMany, "CWR on a super-packet",
		"ECE", "CE on a super-packet", "URG",
	} {
		if n[what] == 0 {
			t.Errorf("the recording has no %s", what)
		}
	}
	sizes := 0
	for what := range n {
		if strings.HasPrefix(what, "segments of") {
			sizes++
		}
	}
	if sizes < 3 {
		t.Errorf("super-packets have segments of %d sizes, want three at least", sizes)
	}
}
