package control

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A connVigil waits until there are connections that a filter selects. It finds them once, and
// keeps account of them by their events from then on. Only of a closed one that the table
// forgets there is no event: it goes on counting, where closed ones count.
type connVigil struct {
	eng  *engine.Engine
	q    *selection
	want rules.Ranges // nil: one connection, the same all the time
	wake chan struct{}

	mu       sync.Mutex
	known    spells // by connections; of a number of them, under 0
	begun    bool
	selected map[uint64]time.Duration // since when, while it is so
	tags     map[uint64][]string      // if the filter asks for tags
	seen     int                      // connections at last, or when the condition was met
	most     int                      // at once
}

func newConnVigil(eng *engine.Engine, c *client.Condition, known spells) (vigil, error) {
	want, err := readCount("connections", c.Connections)
	if err != nil {
		return nil, err
	}
	if c.Connections == "" {
		want = nil
	}
	q, err := newSelection(c.Filter)
	if err != nil {
		return nil, err
	}
	return &connVigil{
		eng: eng, q: q, want: want, known: known, wake: make(chan struct{}, 1),
		selected: make(map[uint64]time.Duration), tags: make(map[uint64][]string),
	}, nil
}

// begin finds the connections. They are looked at some at a time, but what happens to
// one meanwhile is heard of. Their number is known in the end.
func (v *connVigil) begin() error {
	now := v.known.found(v.eng.Since())
	if _, err := v.eng.Conns(func(c *engine.ConnView) bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, name := range v.q.match.Tags {
			if c.HasTag(name) {
				v.tags[c.Conn] = append(v.tags[c.Conn], name)
			}
		}
		v.put(c.Conn, now, v.q.selects(c))
		return false
	}); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.begun = true
	v.judge(v.known.found(v.eng.Since()))
	return nil
}

func (v *connVigil) hear(e *engine.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e.Type {
	case engine.EventOpen, engine.EventState, engine.EventDesync:
	case engine.EventRule:
		if !v.tagged(e) {
			return
		}
	case engine.EventClose:
		if e.Reason != conntrack.Ended.String() { // it is not even remembered
			v.put(e.Conn, e.Time, false)
			delete(v.tags, e.Conn)
			return
		}
	default:
		return
	}
	v.put(e.Conn, e.Time, v.q.selects(&engine.ConnView{
		Client: e.Client, Server: e.Server, ClientState: e.ClientState, ServerState: e.ServerState, Tags: v.tags[e.Conn],
	}))
}

// tagged notes a tag that an action has set or taken away, if the filter asks for it.
func (v *connVigil) tagged(e *engine.Event) bool {
	if !slices.Contains(v.q.match.Tags, e.Detail) {
		return false
	}
	others := slices.DeleteFunc(v.tags[e.Conn], func(name string) bool { return name == e.Detail })
	switch e.Action {
	case "tag":
		others = append(others, e.Detail)
	case "untag":
	default:
		return false
	}
	v.tags[e.Conn] = others
	return true
}

// put notes whether the filter selects a connection from a time on.
func (v *connVigil) put(conn uint64, at time.Duration, selects bool) {
	if _, did := v.selected[conn]; did == selects {
		return
	}
	if selects {
		v.selected[conn] = at
	} else {
		delete(v.selected, conn)
	}
	idle := len(v.known.since) == 0
	v.judge(at)
	if v.want == nil {
		v.known.set(conn, at, selects)
	}
	if v.known.met || idle != (len(v.known.since) == 0) {
		signal(v.wake)
	}
}

// judge counts the connections that are selected from a time on.
func (v *connVigil) judge(at time.Duration) {
	if v.known.met {
		return
	}
	v.seen = len(v.selected)
	v.most = max(v.most, v.seen)
	if v.want != nil && v.begun {
		v.known.set(0, at, v.want.Match(int64(v.seen)))
	}
}

// look makes sure, once it is time, that all has been heard that has happened until now.
func (v *connVigil) look(now time.Duration) error {
	v.mu.Lock()
	due := !v.known.met && now >= v.known.next()
	v.mu.Unlock()
	if !due {
		return nil
	}
	if err := v.eng.Call(nothing); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known.reach(now)
	return nil
}

func (v *connVigil) next(time.Duration) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.known.next()
}

func (v *connVigil) state(f func(*spells)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(&v.known)
}

func (v *connVigil) woken() <-chan struct{} { return v.wake }

// mostInstead bounds the connections that an answer shows in place of those it was to find.
const mostInstead = 10

func (v *connVigil) tell(w *client.Wait) {
	v.mu.Lock()
	w.Seen, w.Most = uint64(v.seen), uint64(v.most)
	if w.Met && v.want == nil {
		w.Conn = v.known.key
	}
	v.mu.Unlock()
	if w.Met {
		return
	}
	want := v.want
	if want == nil {
		want = rules.Ranges{{Lo: 1, Hi: math.MaxInt64}}
	}
	w.Why = fmt.Sprintf("there are %d such connections, ", w.Seen)
	switch {
	case want.Match(int64(w.Seen)):
		w.Why += tooLate
	case w.Most > w.Seen:
		w.Why += fmt.Sprintf("want %v; there were %d at most", want, w.Most)
	default:
		w.Why += fmt.Sprintf("want %v", want)
	}
	w.Why += heldWords(w) + v.insteadWords(w)
}

// insteadWords find which connections come closest: all but the states is as it was to be. Those that
// live come before closed ones, the youngest first.
func (v *connVigil) insteadWords(w *client.Wait) string {
	all := 0
	views, err := v.eng.Conns(func(c *engine.ConnView) bool {
		all++
		return v.q.nearly(c)
	})
	switch {
	case err != nil:
		return ""
	case len(views) == 0 && all == 0:
		return "; there is no connection at all"
	case len(views) == 0 && all == 1:
		return "; the only connection has no such " + strings.Join(v.q.keys(), " and ")
	case len(views) == 0:
		return fmt.Sprintf("; of %d connections none has such a %s", all, strings.Join(v.q.keys(), " and "))
	}
	slices.SortFunc(views, func(a, b engine.ConnView) int {
		switch {
		case a.Closed() == b.Closed():
			return cmp.Compare(b.Conn, a.Conn)
		case a.Closed():
			return 1
		}
		return -1
	})
	const most = 3 // in words
	var words strings.Builder
	for i := range views[:min(len(views), mostInstead)] {
		c := &views[i]
		w.Instead = append(w.Instead, connectionOf(c))
		if i < most {
			fmt.Fprintf(&words, "; connection %d: client %v, server %v", c.Conn, c.ClientState, c.ServerState)
		}
	}
	if more := len(views) - most; more > 0 {
		fmt.Fprintf(&words, "; and %d more", more)
	}
	return words.String()
}
