package engine

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// A ConnView is what an Engine has to tell of a connection at one moment.
type ConnView struct {
	Conn        uint64 // its ordinal, as in events
	Incarnation int    // on its 4-tuple
	Client      netip.AddrPort
	Server      netip.AddrPort
	ClientState conntrack.State
	ServerState conntrack.State
	PickedUp    bool          // its first SYN was not seen
	Age         time.Duration // since its first segment
	Idle        time.Duration // since an endpoint has last sent one
	Lost        [2]bool       // a black hole takes what this endpoint sends
	Forgotten   bool          // the box was made to forget it
	Held        int           // how many segments are held
	Sent        [2]uint64     // bytes of this endpoint's stream that it has sent; see conntrack.Conn.Bytes
	Delivered   [2]uint64     // bytes of it that its peer has received
	Tags        []string
	Rules       []string // that can concern it

	box  *Box // of the flow, while the workers stand still
	flow *flow
}

// Closed tells that neither endpoint has the connection any more.
func (v *ConnView) Closed() bool {
	return v.ClientState == conntrack.Closed && v.ServerState == conntrack.Closed
}

// Conns is what there is to tell of the connections that keep selects, in the order
// of their SYNs; closed ones that are remembered still are among them. Keep is called while
// the workers stand still, some connections at a time, and before Tags and Rules are filled in.
func (e *Engine) Conns(keep func(*ConnView) bool) ([]ConnView, error) {
	all := []ConnView{}
	err := e.eachConn(func(b *Box, c *conntrack.Conn, now time.Duration) {
		v := b.connView(c, now)
		if keep(&v) {
			v.fill()
			all = append(all, v)
		}
	})
	slices.SortFunc(all, func(x, y ConnView) int { return cmp.Compare(x.Conn, y.Conn) })
	return all, err
}

// pageSize is how many places of a table are looked at while the workers stand
// still: so few that no ring overflows meanwhile.
const pageSize = 2048

// eachConn calls f for each connection; the workers go on between two pages.
func (e *Engine) eachConn(f func(b *Box, c *conntrack.Conn, now time.Duration)) error {
	for _, b := range e.boxes {
		for from := 1; from != 0; {
			if err := e.still(func(now time.Duration) {
				from = b.table.Page(from, pageSize, func(c *conntrack.Conn) { f(b, c, now) })
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// connView is what is to be told of a connection without allocating.
func (b *Box) connView(c *conntrack.Conn, now time.Duration) ConnView {
	v := ConnView{
		Conn: b.ordinal(c), Incarnation: c.Incarnation(), Client: c.Client(), Server: c.Server(),
		ClientState: c.State(conntrack.FromClient), ServerState: c.State(conntrack.FromServer),
		PickedUp: c.PickedUp(), Age: now - c.Opened(), Idle: now - c.LastSeen(),
	}
	for d := range v.Sent {
		v.Sent[d], v.Delivered[d] = c.Bytes(conntrack.Dir(d))
	}
	if f := b.flowOf(c); f != nil {
		v.box, v.flow = b, f
		v.Held = len(f.held)
		v.Forgotten = f.lost.by != nil
		for d := range f.holes {
			v.Lost[d] = f.holes[d].open(now)
		}
	}
	return v
}

// fill adds what has to be allocated, and lets go of the Box.
func (v *ConnView) fill() {
	if v.flow != nil {
		for _, t := range v.flow.tags {
			v.Tags = append(v.Tags, v.box.tagNames[t])
		}
		for _, c := range v.flow.candidates() {
			v.Rules = append(v.Rules, c.Name)
		}
	}
	v.box, v.flow = nil, nil
}

// HasTag tells whether the connection has a tag; keep may ask, too.
func (v *ConnView) HasTag(name string) bool {
	if v.flow == nil {
		return slices.Contains(v.Tags, name)
	}
	return slices.ContainsFunc(v.flow.tags, func(t tag) bool { return v.box.tagNames[t] == name })
}

// WorkerStats is what one worker has done, and what it keeps.
type WorkerStats struct {
	Stats
	Connections int    // in its table, the closed ones that it remembers included
	Opened      uint64 // connections that it has seen begin
}

// WorkerStats counts what each worker has done so far; it works after Run too.
func (e *Engine) WorkerStats() []WorkerStats {
	all := make([]WorkerStats, len(e.boxes))
	e.inspect(func() {
		for i, b := range e.boxes {
			all[i] = WorkerStats{b.Stats(), b.table.Len(), b.table.Opened()}
		}
	})
	return all
}

// Held is how many segments each rule holds now, by its name.
func (e *Engine) Held() map[string]int {
	held := make(map[string]int)
	e.inspect(func() {
		for _, b := range e.boxes {
			for _, w := range b.waits.All() {
				if w.hold != nil {
					held[w.rule.Name] += w.size()
				}
			}
		}
	})
	return held
}

// Seed is what the dice of the rules start from.
func (e *Engine) Seed() uint64 { return e.cfg.Seed }
