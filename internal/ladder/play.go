package ladder

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// Options change how a script is played. What is right under one of them has to be
// right under all.
type Options struct {
	// Shift is added to all numbers of the client and of the server, so that
	// they wrap where they would not.
	Shift [2]uint32
	// IP is 4 or 6, for scripts that do not care; 0 means 4.
	IP int
	// Seed is used in place of the script's and the rules' if HasSeed.
	Seed    uint64
	HasSeed bool
	// Rules are used in place of the script's, if they are not nil.
	Rules *rules.Set
	// Quiet: nobody listens to events, so that segments which concern no rule
	// take the Box's short way. States, kinds and events are not checked then.
	Quiet bool
}

// A player is a script that is being played.
type player struct {
	*Script
	opts    Options
	seed    uint64
	box     *engine.Box
	now     time.Duration
	ids     uint16 // of the packets that come in
	out     []packet
	waiting [2][]packet // came in towards a side, and has not left
	events  []engine.Event
	mark    int // what of events was there before the last packet came in
	states  map[[2]netip.AddrPort]*engine.Event
	shown   []entry
	shifted map[*conn][2]uint32 // ISNs as they are now
}

// A packet is one that came in or has left.
type packet struct {
	at     time.Duration
	side   int // where it came in, or leaves
	header tunnel.Header
	data   []byte
	conn   *conn
	entry  int // its place in the report
}

// Play plays the script from its beginning, on a Box of its own.
func (s *Script) Play(opts Options) *Report {
	p := &player{
		Script: s, opts: opts, seed: s.seedOf(opts),
		states:  map[[2]netip.AddrPort]*engine.Event{},
		shifted: map[*conn][2]uint32{},
	}
	for _, c := range s.conns {
		p.renumber(c, c.isn)
	}
	cfg := engine.BoxConfig{Rules: s.set, Seed: p.seed, Output: p, Offload: [2]bool{s.offload, s.offload}}
	if opts.Rules != nil {
		cfg.Rules = opts.Rules
	}
	if !opts.Quiet {
		cfg.AllEvents, cfg.OnEvent = true, p.record
	}
	p.box = engine.NewBox(cfg, 0)
	return p.report(p.play())
}

func (s *Script) seedOf(opts Options) uint64 {
	set := s.set
	if opts.Rules != nil {
		set = opts.Rules
	}
	switch {
	case opts.HasSeed:
		return opts.Seed
	case !s.hasSeed:
		return set.Seed
	}
	return s.seed
}

// play does the steps up to the first that fails.
func (p *player) play() *failure {
	for i := range p.steps {
		s := &p.steps[i]
		p.advance(p.now + s.after)
		if err := p.take(s); err != nil {
			return &failure{step: s, err: err}
		}
	}
	if err := p.end(); err != nil {
		return &failure{err: err}
	}
	return nil
}

// take does one step. What has left before its time must have been expected
// by a line before it.
func (p *player) take(s *step) error {
	if _, ok := s.do.(expect); !ok && len(p.out) > 0 && p.out[0].at < p.now {
		return p.unexpected()
	}
	return s.do.play(p, s)
}

// end lets out what is still due, unless the script says where it ends, and
// wants nothing to be left over.
func (p *player) end() error {
	for range maxDue {
		at, ok := p.box.Next()
		if !ok || len(p.out) > 0 || p.endsEarly() {
			break
		}
		p.advance(max(p.now, at))
	}
	return p.unexpected()
}

// endsEarly tells whether the script ends with "until".
func (p *player) endsEarly() bool {
	if len(p.steps) == 0 {
		return false
	}
	w, ok := p.steps[len(p.steps)-1].do.(wait)
	return ok && w.last
}

// maxDue bounds the end of a script: a Box in which something is due for ever is broken.
const maxDue = 1_000_000

// unexpected is the error about a packet that has left and that no line expects.
func (p *player) unexpected() error {
	if len(p.out) == 0 {
		return nil
	}
	first := p.out[0]
	p.shown[first.entry].wrong = true
	return fmt.Errorf("no line expects that %s left at %s", p.describe(&first), clock(first.at))
}

// advance moves the clock, and the Box with it through all that is due.
func (p *player) advance(to time.Duration) {
	for range maxDue {
		at, ok := p.box.Next()
		if !ok || at > to {
			break
		}
		p.now = max(p.now, at)
		p.box.Advance(p.now)
	}
	p.now = to
}

// Write takes what leaves the Box; it makes the player the Box's Output.
func (p *player) Write(e *engine.Emission) error {
	out := packet{
		at: p.now, side: e.Side, header: e.Header,
		data: slices.Concat(e.Head, e.Body), entry: len(p.shown),
	}
	p.out = append(p.out, out)
	p.show(&out, true)
	return nil
}

// record keeps an event, and the states that it tells.
func (p *player) record(e *engine.Event) {
	p.events = append(p.events, e.Clone())
	if e.Conn != 0 {
		last := &p.events[len(p.events)-1]
		p.states[[2]netip.AddrPort{e.Client, e.Server}] = last
	}
	if e.Type == engine.EventRule || e.Type == engine.EventState || e.Type == engine.EventDesync {
		p.note(e)
	}
}

// renumber sets where a connection's numbers begin from now on.
func (p *player) renumber(c *conn, isn [2]uint32) {
	p.shifted[c] = [2]uint32{isn[0] + p.opts.Shift[0], isn[1] + p.opts.Shift[1]}
}

// ip is the version of IP that is played.
func (p *player) ip() int {
	switch {
	case p.Script.ip != 0:
		return p.Script.ip
	case p.opts.IP != 0:
		return p.opts.IP
	}
	return 4
}

// The two hosts, as in the lab.
var hosts = map[int][2]netip.Addr{
	4: {netip.MustParseAddr("10.77.1.1"), netip.MustParseAddr("10.77.2.1")},
	6: {netip.MustParseAddr("fd77:1::1"), netip.MustParseAddr("fd77:2::1")},
}

// addr is the address and port of a connection at a side.
func (p *player) addr(c *conn, side int) netip.AddrPort {
	return netip.AddrPortFrom(hosts[p.ip()][side], c.ports[side])
}

// receive gives a packet to the Box.
func (p *player) receive(in packet) {
	p.mark = len(p.events)
	in.at, in.entry = p.now, len(p.shown)
	p.show(&in, false)
	p.waiting[1-in.side] = append(p.waiting[1-in.side], in)
	buf := p.box.Buf()
	buf.Header = in.header
	buf.SetLen(copy(buf.Space(), in.data))
	p.box.Receive(p.now, in.side, buf)
}

// parsed is the view of a packet; ok is false if it is no TCP segment.
func (in *packet) parsed() (v wire.Packet, ok bool) {
	ok = v.Parse(in.data, in.header.GSO(), in.header.Partial()) == wire.OK
	return v, ok
}
