package engine

import (
	"cmp"
	"hash/fnv"
	"math/bits"
	"slices"

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
	return bits.RotateLeft64(key, 17) ^ scramble(place) ^ uint64(j.times)<<1
}

// momentKey identifies the n-th moment of a connection for chance.
func momentKey(ordinal int64, n uint32) uint64 { return scramble(uint64(ordinal)) ^ uint64(n)<<1 }

// inStream is where a number stands in what an endpoint sends, beyond 4 GiB too,
// counted from its SYN.
func (j *Journey) inStream(d conntrack.Dir, n seq.Num) uint64 {
	if s := &j.flow.streams[d]; s.known {
		return uint64(s.offset(n) + 1)
	}
	return uint64(j.Conn.Relative(d, n))
}

// A transmissions counts how often each place in a stream has been sent. Only what is sent
// again needs to be remembered.
type transmissions struct {
	resent []resent // by place
	ack    seq.Num  // of the last bare acknowledgment
	acks   uint32   // how often it was repeated
	icmp   seq.Num  // quoted by the last ICMP error
	icmps  uint32   // how often that was repeated
}

// A resent place has been sent more than once.
type resent struct {
	at    uint64 // in the stream
	times uint32
}

// mostResent bounds the places that are remembered: as many segments as a window of
// 20 MiB has. Who has more under way, all of them sent again, has those on
// the right counted anew.
const mostResent = 1 << 14

// noteICMP counts an ICMP error about a number, and tells the how manieth it is.
func (t *transmissions) noteICMP(quoted seq.Num) uint32 {
	if quoted != t.icmp {
		t.icmp, t.icmps = quoted, 0
	}
	t.icmps++
	return t.icmps
}

// note counts the segment in hand, and tells the how manieth transmission it is, from 1.
func (t *transmissions) note(j *Journey) uint32 {
	s := j.Seg
	switch {
	case s.End() == s.Seq:
		if s.Ack != t.ack {
			t.ack, t.acks = s.Ack, 0
		}
		t.acks++
		return t.acks
	case !j.again:
		return 1
	}
	at := j.inStream(j.Dir, s.Seq)
	i, known := t.find(at)
	if !known {
		t.makeRoom(j.inStream(j.Dir, j.Conn.End(j.Dir).Unacked()))
		i, _ = t.find(at)
		t.resent = slices.Insert(t.resent, i, resent{at, 1})
	}
	t.resent[i].times++
	return t.resent[i].times
}

// find is where a place stands, or would.
func (t *transmissions) find(at uint64) (i int, known bool) {
	return slices.BinarySearchFunc(t.resent, at, func(r resent, at uint64) int { return cmp.Compare(r.at, at) })
}

// makeRoom forgets what has been acknowledged, before memory is taken for more places.
func (t *transmissions) makeRoom(unacked uint64) {
	if len(t.resent) < min(cap(t.resent), mostResent) {
		return
	}
	acked, _ := t.find(unacked)
	t.resent = slices.Delete(t.resent, 0, acked)
	t.resent = t.resent[:min(len(t.resent), mostResent-1)]
}
