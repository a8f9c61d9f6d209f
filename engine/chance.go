package engine

import (
	"hash/fnv"
	"math/bits"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
)

// Every random decision is a hash of what it decides about: the seed and the
// rule's name (rule.key), the connection's ordinal for the rule, the
// direction, the offset in the stream, and the how manieth transmission of it
// this is. Another ephemeral port, an extra ACK or another interleaving of
// connections therefore changes nothing else.

// The salts tell apart the decisions about one segment.
const (
	diceSalt uint64 = iota + 1
	turnSalt
	shareSalt
	jitterSalt
	jitterSalt2
)

func ruleKey(seed uint64, name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return scramble(h.Sum64() ^ scramble(seed))
}

// chance is a number in [0, 1) that depends on the rule, the key and the salt.
func (r *rule) chance(key, salt uint64) float64 {
	return float64(scramble(r.key^scramble(key+salt*0x9e3779b97f4a7c15))>>11) / (1 << 53)
}

// scramble is the finaliser of splitmix64.
func scramble(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chanceKey identifies the segment in hand for chance.
func (j *Journey) chanceKey(ordinal int64) uint64 {
	if j.Seg == nil {
		return momentKey(ordinal, j.counts.matched[0])
	}
	place := bits.RotateLeft64(j.inStream(j.Dir, j.Seg.Seq), 32)
	if j.Seg.End() == j.Seg.Seq { // what occupies sequence space is known by that alone
		place ^= j.inStream(j.Dir.Peer(), j.Seg.Ack)
	}
	key := scramble(uint64(ordinal)*2 + uint64(j.Dir))
	return bits.RotateLeft64(key, 17) ^ scramble(place) ^ uint64(j.flow.sent[j.Dir].count(j))<<1
}

// momentKey identifies the n-th moment of a connection for chance.
func momentKey(ordinal int64, n uint32) uint64 { return scramble(uint64(ordinal)) ^ uint64(n)<<1 }

// inStream is where a number stands in what an endpoint sends, beyond 4 GiB too,
// counted from its SYN.
func (j *Journey) inStream(d conntrack.Dir, n seq.Num) uint64 {
	if s := &j.flow.streams[d]; s.known {
		return uint64(s.offset(n) + 1)
	}
	return uint64(relative(j.Conn.End(d), n))
}

// maxTracked is how many retransmitted places are remembered by direction.
const maxTracked = 16

// transmissions counts how often a place in a stream has been sent. Only what
// is sent again needs a place here; acknowledged places make room first.
type transmissions struct {
	n     uint8
	at    [maxTracked]seq.Num
	times [maxTracked]uint16
	ack   seq.Num // of the last bare acknowledgment
	acks  uint16  // how often it was repeated
	icmp  seq.Num // quoted by the last ICMP error
	icmps uint16  // how often that was repeated
}

// noteICMP counts an ICMP error about a number.
func (t *transmissions) noteICMP(quoted seq.Num) {
	if quoted != t.icmp {
		t.icmp, t.icmps = quoted, 0
	}
	t.icmps++
}

// note counts the segment in hand, once.
func (t *transmissions) note(j *Journey) {
	s := j.Seg
	if s.End() == s.Seq {
		if s.Ack != t.ack {
			t.ack, t.acks = s.Ack, 0
		}
		t.acks++
		return
	}
	if !j.again {
		return
	}
	una := j.Conn.End(j.Dir).Unacked()
	free := -1
	for i := range t.n {
		if t.at[i] == s.Seq {
			t.times[i]++
			return
		}
		if t.at[i].Less(una) {
			free = int(i)
		}
	}
	switch {
	case t.n < maxTracked:
		free = int(t.n)
		t.n++
	case free < 0:
		free = int(uint32(s.Seq) % maxTracked)
	}
	t.at[free], t.times[free] = s.Seq, 2
}

// count is the how manieth transmission the segment in hand is, from 1.
func (t *transmissions) count(j *Journey) uint16 {
	s := j.Seg
	switch {
	case j.Kinds.Has(conntrack.KindICMP):
		return t.icmps
	case s.End() == s.Seq:
		return t.acks
	}
	if j.again {
		for i := range t.n {
			if t.at[i] == s.Seq {
				return t.times[i]
			}
		}
	}
	return 1
}
