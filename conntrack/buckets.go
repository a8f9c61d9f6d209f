package conntrack

const (
	bucketSegment = 4096
	chunk         = 256
)

func (t *Table) find(k *Key) *Conn {
	h := k.hash(t.seed)
	for i := *t.bucket(h); i != 0; {
		c := t.at(i)
		if c.hash == h && c.key == *k {
			return c
		}
		i = c.next
	}
	return nil
}

// at is the connection with an index.
func (t *Table) at(i uint32) *Conn { return &t.chunks[(i-1)/chunk][(i-1)%chunk] }

// bucket is where the chain of a hash begins. Buckets beyond the last one that
// is in use stand folded onto those of half their number.
func (t *Table) bucket(h uint64) *uint32 {
	i := h & t.mask
	if i >= t.used {
		i &= t.mask >> 1
	}
	return &t.buckets[i/bucketSegment][i%bucketSegment]
}

func (t *Table) insert(c *Conn) {
	b := t.bucket(c.hash)
	c.next = *b
	*b = c.index
	t.count++
	if uint64(t.count) > t.used {
		t.grow()
	}
}

// grow adds one bucket and moves to it what its other half holds of it.
func (t *Table) grow() {
	if t.used > t.mask {
		t.mask = t.mask<<1 | 1
	}
	if t.used%bucketSegment == 0 {
		t.buckets = append(t.buckets, make([]uint32, bucketSegment))
	}
	split := t.used & (t.mask >> 1)
	from := &t.buckets[split/bucketSegment][split%bucketSegment]
	i := *from
	*from = 0
	t.used++
	for i != 0 {
		c := t.at(i)
		i = c.next
		b := t.bucket(c.hash)
		c.next = *b
		*b = c.index
	}
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
	b := t.bucket(c.hash)
	for *b != c.index {
		b = &t.at(*b).next
	}
	*b = c.next
	t.ages[c.class].unlink(t, c)
	*c = Conn{index: c.index, next: t.free}
	t.free = c.index
	t.count--
}
