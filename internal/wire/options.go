package wire

import (
	"encoding/binary"
	"iter"

	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// Kinds of TCP options (IANA, TCP Option Kind Numbers).
const (
	OptEOL           uint8 = 0
	OptNOP           uint8 = 1
	OptMSS           uint8 = 2
	OptWScale        uint8 = 3
	OptSACKPermitted uint8 = 4
	OptSACK          uint8 = 5
	OptTimestamps    uint8 = 8
	OptMD5           uint8 = 19
	OptAO            uint8 = 29
	OptMPTCP         uint8 = 30
	OptFastOpen      uint8 = 34
)

// maxWScale is the greatest shift in use; a greater one counts as this (RFC 7323,
// section 2.3).
const maxWScale = 14

// Options is the option part of a TCP header, and a place in it.
type Options []byte

// Next takes the first option off o: its kind, and its data without kind and
// length, a part of the header's bytes. NOPs are skipped. It is false at the end,
// at EOL, and at an option whose length is wrong; only then is o not empty.
func (o *Options) Next() (kind uint8, data []byte, ok bool) {
	b := *o
	for len(b) > 0 && b[0] == OptNOP {
		b = b[1:]
	}
	if len(b) == 0 || b[0] == OptEOL {
		*o = nil
		return 0, nil, false
	}
	if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
		*o = b
		return 0, nil, false
	}
	size := b[1]
	*o = b[size:]
	return b[0], b[2:size:size], true
}

// All ranges over kind and data of the options, up to the first malformed one.
func (o Options) All() iter.Seq2[uint8, []byte] {
	return func(yield func(uint8, []byte) bool) {
		for {
			kind, data, ok := o.Next()
			if !ok || !yield(kind, data) {
				return
			}
		}
	}
}

// Two NOPs and timestamps are what nearly every segment of today carries.
const nopNopTimestamps = 0x0101080a

// onlyTimestamps tells whether o is laid out as RFC 7323, appendix A, recommends.
func (o Options) onlyTimestamps() bool {
	return len(o) == 12 && binary.BigEndian.Uint32(o) == nopNopTimestamps
}

// valid tells whether the lengths of all options agree with the header's.
func (o Options) valid() bool {
	if len(o) == 0 || o.onlyTimestamps() {
		return true
	}
	for {
		if _, _, ok := o.Next(); !ok {
			return len(o) == 0
		}
	}
}

// option finds the data of an option in the TCP header, 0 if there is none of
// this kind and data size. Of several the last counts, as in Linux's
// tcp_parse_options.
func (p *Packet) option(kind uint8, size int) (at int) {
	o := p.Options()
	for {
		k, data, ok := o.Next()
		if !ok {
			return at
		}
		if k == kind && len(data) == size {
			at = p.place(o, data)
		}
	}
}

// place gives the offset in the TCP header of an option's data, where rest is
// what follows it.
func (p *Packet) place(rest Options, data []byte) int {
	return len(p.tcp) - len(rest) - len(data)
}

// timestampsAt finds the data of the timestamps option, 0 if there is none.
func (p *Packet) timestampsAt() int {
	if p.Options().onlyTimestamps() {
		return tcpLen + 4
	}
	return p.option(OptTimestamps, 8)
}

// Timestamps gives TSval and TSecr (RFC 7323, section 3), if the option is there.
func (p *Packet) Timestamps() (val, ecr uint32, ok bool) {
	at := p.timestampsAt()
	if at == 0 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(p.tcp[at:]), binary.BigEndian.Uint32(p.tcp[at+4:]), true
}

// SynOptions is what a SYN announces.
type SynOptions struct {
	MSS           uint16 // if HasMSS
	WScale        uint8  // the shift, at most 14, if HasWScale
	HasMSS        bool
	HasWScale     bool
	SACKPermitted bool
	Timestamps    bool
}

// SynOptions reads the options that matter on a SYN. Whether the packet is one is
// for the caller to know. Options of a wrong size do not count.
func (p *Packet) SynOptions() (s SynOptions) {
	o := p.Options()
	for {
		kind, data, ok := o.Next()
		if !ok {
			return s
		}
		s.add(kind, data)
	}
}

func (s *SynOptions) add(kind uint8, data []byte) {
	switch {
	case kind == OptMSS && len(data) == 2:
		s.HasMSS, s.MSS = true, binary.BigEndian.Uint16(data)
	case kind == OptWScale && len(data) == 1:
		s.HasWScale, s.WScale = true, min(data[0], maxWScale)
	case kind == OptSACKPermitted && len(data) == 0:
		s.SACKPermitted = true
	case kind == OptTimestamps && len(data) == 8:
		s.Timestamps = true
	}
}

// SACKBlocks writes the blocks of the SACK option (RFC 2018, section 3) to dst
// and returns how many there are. The first may be a D-SACK (RFC 2883).
func (p *Packet) SACKBlocks(dst *[4]seq.Range) (n int) {
	o := p.Options()
	for {
		kind, data, ok := o.Next()
		if !ok {
			return n
		}
		if kind != OptSACK || !wholeBlocks(data) {
			continue
		}
		for n = 0; n < len(data)/8; n++ {
			dst[n].From = seq.Num(binary.BigEndian.Uint32(data[8*n:]))
			dst[n].To = seq.Num(binary.BigEndian.Uint32(data[8*n+4:]))
		}
	}
}

// wholeBlocks tells whether data is that of a SACK option. No header has room for
// more than four blocks.
func wholeBlocks(data []byte) bool { return len(data) > 0 && len(data)%8 == 0 }
