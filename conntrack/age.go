package conntrack

import "time"

// A class is what connections have in common for eviction; the first go first.
type class uint8

const (
	classClosed class = iota
	classHalfOpen
	classOpen
	numClasses
)

func (c *Conn) classNow() class {
	switch {
	case c.gone:
		return classClosed
	case c.ends[FromClient].state.Synchronized() && c.ends[FromServer].state.Synchronized():
		return classOpen
	}
	return classHalfOpen
}

// A list orders the connections of a class by when they were last put at its
// end. It is not touched by traffic: only who looks for the oldest moves those
// that have been active since to the end.
type list struct{ oldest, newest uint32 }

func (l *list) push(t *Table, c *Conn) {
	c.older, c.newer = l.newest, 0
	if l.newest != 0 {
		t.at(l.newest).newer = c.index
	} else {
		l.oldest = c.index
	}
	l.newest = c.index
}

func (l *list) unlink(t *Table, c *Conn) {
	if c.older != 0 {
		t.at(c.older).newer = c.newer
	} else {
		l.oldest = c.newer
	}
	if c.newer != 0 {
		t.at(c.newer).older = c.older
	} else {
		l.newest = c.older
	}
}

// file puts a new connection into its list.
func (t *Table) file(now time.Duration, c *Conn) {
	c.class = c.classNow()
	c.filed = now
	t.ages[c.class].push(t, c)
}

func (t *Table) refile(now time.Duration, c *Conn) {
	t.ages[c.class].unlink(t, c)
	t.file(now, c)
}

// evict makes room: for the connection that is missed least.
func (t *Table) evict(now time.Duration) {
	for cl := range t.ages {
		if t.ages[cl].oldest == 0 {
			continue
		}
		c := t.at(t.ages[cl].oldest)
		for tries := 0; c.seen > c.filed && tries < 64; tries++ {
			t.refile(now, c)
			c = t.at(t.ages[cl].oldest)
		}
		if !c.gone {
			t.cfg.Observer.Closed(c, Evicted)
		}
		t.remove(c)
		return
	}
}
