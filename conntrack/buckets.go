package conntrack

import "math/bits"

const (
	bucketSlots   = 15
	bucketLoad    = 7   // connections a bucket, on average, at most: twice that where the next ones are split
	bucketSegment = 256 // buckets that are made together
	chunk         = 256 // connections that are made together
)

// A bucket is the connections whose hashes end alike, in one cache line. A slot is
// the index of a connection in its low bits and a tag above them, which is bits of
// its hash: a lookup reads one bucket, and of the connections as a rule only the one it
// looks for. Where that is, in a large table, it has to wait for memory twice.
type bucket struct {
	slots [bucketSlots]uint32 // 0 is free; the others have inUse set
	more  uint32              // index of the first of those that found no slot; Conn.next leads on
}

// inUse is the top bit of a tag, so that none is like a free slot.
const inUse = 1 << 31

// tag is what a hash contributes to a slot. Its bits are not those that choose the bucket.
func (t *Table) tag(hash uint64) uint32 { return (uint32(hash>>32) | inUse) &^ t.indices }

func (t *Table) find(k *Key) *Conn {
	h := k.hash(t.seed)
	b := t.bucket(h)
	for rest := b.tagged(t.tag(h), t.indices); rest != 0; rest &= rest - 1 {
		c := t.at(b.slots[bits.TrailingZeros32(rest)] & t.indices)
		if c.key == *k {
			return c
		}
	}
	for i := b.more; i != 0; {
		c := t.at(i)
		if c.key == *k {
			return c
		}
		i = c.next
	}
	return nil
}

// tagged is the slots with a tag, as bits. There is no branch in it: what a processor
// would guess wrong depends on memory that it still waits for.
func (b *bucket) tagged(tag, indices uint32) (set uint32) {
	for i, s := range &b.slots {
		var one uint32
		if s&^indices == tag {
			one = 1
		}
		set |= one << i
	}
	return set
}

// at is the connection with an index.
func (t *Table) at(i uint32) *Conn { return &t.chunks[(i-1)/chunk][(i-1)%chunk] }

// bucket is where a hash belongs. Buckets beyond the last one that is in use
// stand folded onto those of half their number.
func (t *Table) bucket(h uint64) *bucket {
	i := h & t.mask
	if i >= t.used {
		i &= t.mask >> 1
	}
	return &t.buckets[i/bucketSegment][i%bucketSegment]
}

func (t *Table) insert(c *Conn) {
	h := c.key.hash(t.seed)
	t.put(t.bucket(h), h, c)
	t.count++
	if uint64(t.count) > t.used*bucketLoad {
		t.grow()
	}
}

// put enters a connection into a bucket.
func (t *Table) put(b *bucket, hash uint64, c *Conn) {
	for i, s := range b.slots {
		if s == 0 {
			b.slots[i] = t.tag(hash) | c.index
			return
		}
	}
	c.next, b.more = b.more, c.index
}

// grow adds one bucket and moves to it what its other half holds of it.
func (t *Table) grow() {
	if t.used > t.mask {
		t.mask = t.mask<<1 | 1
	}
	if t.used%bucketSegment == 0 {
		t.buckets = append(t.buckets, new([bucketSegment]bucket))
	}
	split := t.used & (t.mask >> 1)
	b := &t.buckets[split/bucketSegment][split%bucketSegment]
	old := *b
	*b = bucket{}
	t.used++
	for _, s := range old.slots {
		if s != 0 {
			t.putAgain(t.at(s & t.indices))
		}
	}
	for i := old.more; i != 0; {
		c := t.at(i)
		i = c.next
		t.putAgain(c)
	}
}

func (t *Table) putAgain(c *Conn) {
	h := c.key.hash(t.seed)
	t.put(t.bucket(h), h, c)
}

// take is an unused connection; its index is set.
func (t *Table) take() *Conn {
	if t.free == 0 {
		t.chunks = append(t.chunks, new([chunk]Conn))
		first := uint32(len(t.chunks)-1) * chunk
		for i := uint32(chunk); i > 0; i-- {
			c := t.at(first + i)
			c.index, c.next = first+i, t.free
			t.free = c.index
		}
	}
	c := t.at(t.free)
	t.free = c.next
	return c
}

// remove ends all memory of a connection.
func (t *Table) remove(c *Conn) {
	t.cfg.Observer.Removed(c)
	t.takeOut(t.bucket(c.key.hash(t.seed)), c)
	t.ages[c.class].unlink(t, c)
	*c = Conn{index: c.index, next: t.free}
	t.free = c.index
	t.count--
}

// takeOut is the opposite of put.
func (t *Table) takeOut(b *bucket, c *Conn) {
	for i, s := range b.slots {
		if s != 0 && s&t.indices == c.index {
			b.slots[i] = 0
			return
		}
	}
	at := &b.more
	for *at != c.index {
		at = &t.at(*at).next
	}
	*at = c.next
}
