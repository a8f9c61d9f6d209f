package integration

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A rerun is a Box in virtual time, and everything that has come out of it.
type rerun struct {
	*engine.Box
	now    time.Duration
	events []byte
	left   [2][]leaving // by side
}

// A leaving is one segment that has left, complete.
type leaving struct {
	at  time.Duration
	sum uint64 // of its bytes
}

var sumSeed = maphash.MakeSeed()

// A way is how a recording is played again.
type way struct {
	cut     bool // super-packets are cut into segments before they come in
	watched bool // somebody listens, so that the Box looks at everything
}

// play plays the recording to a Box with these rules.
func (r *recording) play(set *rules.Set, w way) *rerun {
	p := &rerun{}
	cfg := engine.BoxConfig{Rules: set, Seed: set.Seed, Output: p, Offload: [2]bool{true, true}}
	if w.watched {
		cfg.AllEvents = true
		cfg.OnEvent = func(e *engine.Event) { p.events = e.AppendJSON(p.events) }
	}
	p.Box = engine.NewBox(cfg, 0)
	for i := range r.packets {
		p.advance(r.packets[i].at)
		p.receive(&r.packets[i], w.cut)
	}
	p.advance(p.now + time.Hour)
	return p
}

// receive gives the Box a packet, or its segments one by one as a plain device would.
func (p *rerun) receive(in *packet, cut bool) {
	var view wire.Packet
	if !cut || view.Parse(in.data, in.header.GSO(), in.header.Partial()) != wire.OK {
		p.give(in.side, in.header, in.data)
		return
	}
	for i := range view.Segments() {
		p.give(in.side, tunnel.Header{}, view.Materialize(i, nil))
	}
}

func (p *rerun) give(side int, h tunnel.Header, data []byte) {
	buf := p.Buf()
	buf.Header = h
	buf.SetLen(copy(buf.Space(), data))
	p.Receive(p.now, side, buf)
}

// advance moves the clock, and the Box through what is due on the way.
func (p *rerun) advance(to time.Duration) {
	for {
		at, ok := p.Next()
		if !ok || at > to {
			break
		}
		p.now = max(p.now, at)
		p.Advance(p.now)
	}
	p.now = to
}

// Write takes what leaves, segment by segment.
func (p *rerun) Write(e *engine.Emission) error {
	whole := slices.Concat(e.Head, e.Body)
	var view wire.Packet
	if view.Parse(whole, e.Header.GSO(), e.Header.Partial()) != wire.OK {
		p.note(e.Side, whole)
		return nil
	}
	for i := range view.Segments() {
		p.note(e.Side, view.Materialize(i, nil))
	}
	return nil
}

func (p *rerun) note(side int, data []byte) {
	p.left[side] = append(p.left[side], leaving{p.now, maphash.Bytes(sumSeed, data)})
}

// differsFrom says what is different, if anything is: an event, a segment that left, when
// it did, or a count.
func (p *rerun) differsFrom(whole *rerun) string {
	if !bytes.Equal(p.events, whole.events) {
		a, b := bytes.Split(p.events, []byte("\n")), bytes.Split(whole.events, []byte("\n"))
		i := 0
		for i < min(len(a), len(b))-1 && bytes.Equal(a[i], b[i]) {
			i++
		}
		return fmt.Sprintf("event %d of %d:\ncut   %s\nwhole %s", i, len(a), a[i], b[i])
	}
	for side := range p.left {
		if a, b := p.left[side], whole.left[side]; !slices.Equal(a, b) {
			i := 0
			for i < min(len(a), len(b)) && a[i] == b[i] {
				i++
			}
			return fmt.Sprintf("on side %d %d segments left cut, %d whole, and they differ from the %dth on", side, len(a), len(b), i+1)
		}
	}
	a, b := p.Stats(), whole.Stats()
	if a.Segments != b.Segments || a.Verdicts != b.Verdicts || a.Swallowed != b.Swallowed || a.Waiting != b.Waiting {
		return fmt.Sprintf("counts: cut %+v, whole %+v", a, b)
	}
	return ""
}

// playsTheSame wants that nobody can tell from what comes of a recording whether its
// super-packets came in whole.
func (r *recording) playsTheSame(t *testing.T, set *rules.Set) (whole *rerun) {
	t.Helper()
	for _, watched := range []bool{false, true} {
		whole = r.play(set, way{watched: watched})
		if what := r.play(set, way{cut: true, watched: watched}).differsFrom(whole); what != "" {
			t.Errorf("watched %t: %s", watched, what)
		}
	}
	return whole
}

// recordExample runs an example with super-packets, and plays what has come in again.
func recordExample(t *testing.T, file string) {
	t.Helper()
	f, err := lab.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecording()
	lab.Run(t, file, lab.Options{IP: 4, Offload: tunnel.On, Through: rec.through})
	nstest.NeedTUN(t) // else the run was skipped
	if len(rec.packets) == 0 {
		t.Errorf("nothing has come in from the hosts of %s", file)
	}
	rec.playsTheSame(t, f.Rules)
}
