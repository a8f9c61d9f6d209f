package ladder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
)

func (a arrive) play(p *player, s *step) error {
	p.receive(p.build(s.conn, a.side, &a.spec))
	switch a.then {
	case passes:
		return p.passed(1 - a.side)
	case stops:
		waiting := &p.waiting[1-a.side]
		*waiting = (*waiting)[:len(*waiting)-1]
	}
	return nil
}

// passed wants the packet that came in last to have left at a side.
func (p *player) passed(side int) error {
	if len(p.out) == 0 {
		return p.missing()
	}
	got, waiting, last := p.out[0], p.waiting[side], len(p.waiting[side])-1
	p.out = p.out[1:]
	if got.at == p.now && got.side == side && got.sameAs(&waiting[last]) {
		p.waiting[side] = waiting[:last]
		return nil
	}
	p.shown[got.entry].wrong = true
	return fmt.Errorf("it has not left as it came in, but %s has", p.describe(&got))
}

func (a expect) play(p *player, s *step) error {
	if len(p.out) == 0 {
		return p.missing()
	}
	got := p.out[0]
	p.out = p.out[1:]
	err := a.judge(p, s.conn, &got)
	if err != nil {
		p.shown[got.entry].wrong = true
	}
	return err
}

// missing is the error about a packet that should have left and has not.
func (p *player) missing() error {
	if at, ok := p.box.Next(); ok {
		return fmt.Errorf("nothing has left at %s; the box has something to do at %s", clock(p.now), clock(at))
	}
	return fmt.Errorf("nothing has left at %s, and nothing waits", clock(p.now))
}

func (a expect) judge(p *player, c *conn, got *packet) error {
	switch {
	case got.at != p.now:
		return fmt.Errorf("it left at %s, want %s", clock(got.at), clock(p.now))
	case got.side != a.side:
		return errors.New("it left on the other side")
	case a.same:
		return p.sameAsCame(c, got)
	case a.raw != nil && !bytes.Equal(got.data, a.raw):
		return fmt.Errorf("it is %x", got.data)
	}
	p.forget(got)
	if a.raw != nil {
		return nil
	}
	if a.icmp != nil {
		return p.compareICMP(c, a.side, a.icmp, got)
	}
	return p.compare(c, a.side, &a.spec, got)
}

// sameAsCame wants the oldest packet of the connection that has come in towards
// this side and has not left.
func (p *player) sameAsCame(c *conn, got *packet) error {
	waiting := p.waiting[got.side]
	i := slices.IndexFunc(waiting, func(in packet) bool { return in.conn == c })
	if i < 0 {
		return errors.New("everything that came in has left already")
	}
	want := waiting[i]
	if !got.sameAs(&want) {
		return fmt.Errorf("it is not as it came in: want %s", p.describe(&want))
	}
	p.waiting[got.side] = slices.Delete(waiting, i, i+1)
	return nil
}

// sameAs tells whether two packets are the same, byte for byte.
func (in *packet) sameAs(other *packet) bool {
	return bytes.Equal(in.data, other.data) && in.header == other.header
}

// forget strikes a packet that has left from those that are waited for.
func (p *player) forget(got *packet) {
	waiting := p.waiting[got.side]
	i := slices.IndexFunc(waiting, func(in packet) bool { return bytes.Equal(in.data, got.data) })
	if i >= 0 {
		p.waiting[got.side] = slices.Delete(waiting, i, i+1)
	}
}

func (a wait) play(p *player, _ *step) error {
	if err := p.unexpected(); err != nil {
		return err
	}
	p.advance(p.now + a.long)
	return p.unexpected()
}

func (a renumber) play(p *player, s *step) error {
	p.renumber(s.conn, a.isn)
	return nil
}

func (a checkState) play(p *player, s *step) error {
	if p.opts.Quiet {
		return nil
	}
	e := p.stateOf(s.conn)
	if e == nil {
		return errors.New("the box knows no such connection")
	}
	got := [2]conntrack.State{e.ClientState, e.ServerState}
	for d, want := range a.want {
		if want != nil && got[d] != *want {
			return fmt.Errorf("%v is in %v, want %v", conntrack.Dir(d), got[d], *want)
		}
	}
	return nil
}

// stateOf is the last event about a connection, whichever side has opened it.
func (p *player) stateOf(c *conn) *engine.Event {
	client, server := p.addr(c, 0), p.addr(c, 1)
	there, back := p.states[[2]netip.AddrPort{client, server}], p.states[[2]netip.AddrPort{server, client}]
	if there == nil || back != nil && back.Conn > there.Conn {
		return back
	}
	return there
}

func (a checkKinds) play(p *player, s *step) error {
	if p.opts.Quiet {
		return nil
	}
	for i := len(p.events) - 1; i >= p.mark; i-- {
		if e := &p.events[i]; e.Type == engine.EventSegment && e.Verdict != engine.Forged {
			if e.Kinds != a.want {
				return fmt.Errorf("its kinds are %v, want %v", e.Kinds, a.want)
			}
			return nil
		}
	}
	return errors.New("no segment came in")
}

// play looks for the event among those since the last packet came in.
func (a checkEvent) play(p *player, _ *step) error {
	if p.opts.Quiet {
		return nil
	}
	var closest error = fmt.Errorf("there was no such event")
	for i := p.mark; i < len(p.events); i++ {
		if string(p.events[i].Type) != a.kind {
			continue
		}
		err := a.matches(&p.events[i])
		if err == nil {
			return nil
		}
		closest = err
	}
	return closest
}

// matches compares the keys as the events file has them.
func (a checkEvent) matches(e *engine.Event) error {
	var got map[string]any
	if err := json.Unmarshal(e.AppendJSON(nil), &got); err != nil {
		return fmt.Errorf("the event is no JSON: %w", err)
	}
	for _, key := range sortedKeys(a.want) {
		if text := jsonText(got[key]); text != a.want[key] {
			return fmt.Errorf("its %s is %q, want %q", key, text, a.want[key])
		}
	}
	return nil
}

func sortedKeys(m map[string]string) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// jsonText is a value of the events file as a script writes it; lists have commas.
func jsonText(v any) string {
	list, ok := v.([]any)
	if !ok {
		if v == nil {
			return ""
		}
		return fmt.Sprint(v)
	}
	var text strings.Builder
	for i, item := range list {
		if i > 0 {
			text.WriteString(",")
		}
		text.WriteString(jsonText(item))
	}
	return text.String()
}

func (a checkFired) play(p *player, _ *step) error {
	for _, r := range p.box.Report() {
		if r.Name == a.rule {
			if r.Fired != a.n {
				return fmt.Errorf("rule %q has fired %d times, want %d %s", a.rule, r.Fired, a.n, r.WhyNot)
			}
			return nil
		}
	}
	return fmt.Errorf("there is no rule %q", a.rule)
}

func (a checkCount) play(p *player, _ *step) error {
	stats := p.box.Stats()
	if p.opts.Quiet && a.name == "whole" {
		return nil
	}
	if got := counterOf(&stats, a.name); got != a.n {
		return fmt.Errorf("%s is %d, want %d", a.name, got, a.n)
	}
	return nil
}

func (a command) play(p *player, _ *step) error {
	ok := true
	switch a.verb {
	case "release":
		ok = p.box.Release(p.now, a.name)
	case "enable", "disable":
		ok = p.box.Enable(a.name, a.verb == "enable")
	case "heal":
		p.box.Heal(p.now)
	default:
		side := slices.Index([]string{"client", "server"}, a.name)
		p.box.Mute(side, a.verb == "mute")
	}
	if !ok {
		return fmt.Errorf("there is no rule %q", a.name)
	}
	return nil
}

// clock is a time of the box as reports write it: in microseconds, or finer
// where that tells more.
func clock(d time.Duration) string {
	if d%time.Microsecond == 0 {
		return fmt.Sprintf("%.6f", d.Seconds())
	}
	return fmt.Sprintf("%.9f", d.Seconds())
}
