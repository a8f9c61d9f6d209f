package conntrack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A script is one connection's life between the hosts C and S, a step a line:
//
//	C> F. 1:1 ack 1 win 500      = FIN_WAIT_1 CLOSE_WAIT : fin,first-fin
//
// Who and how: C> is sent and delivered, Cx sent and lost, C~ sent and held,
// ~C lets go what was held first, C! is forged: delivered though nobody sent it.
// Then the flags (. is ACK), the numbers from and to of the payload and the
// acknowledgment, each relative to the ISN of its sender's first SYN, and
// win, ts, ecr, wscale; a SYN permits SACK unless it says sack 0. A dash for the
// numbers is the 0 of a RST from where there is no socket. "+5s" lets time pass;
// each line takes a millisecond.
// After = stand the states of C and of S once it is done. A colon begins
// the kinds, complete, or "none". The words evidence and timer announce a change
// of that cause, inc N and opener X say which incarnation this is and whose;
// what is not announced must not happen.
type script string

// A side of the laboratory: where a host is, and its first ISN.
type host struct {
	addr netip.AddrPort
	side int
	isn  seq.Num
	held []Segment
}

// A lab plays a script on a Table.
type lab struct {
	t      *testing.T
	table  *Table
	hosts  map[string]*host
	now    time.Duration
	conn   *Conn
	causes [4]int
	moves  []string // what happened, for the message of a failure
	wrong  string   // the first change that no arrow allows
}

func (l *lab) Opened(c, old *Conn)      { l.note("opened %d", c.ordinal); l.conn = c }
func (l *lab) Closed(c *Conn, r Reason) { l.note("closed %d: %v", c.ordinal, r) }
func (l *lab) Removed(c *Conn) {
	l.note("removed %d", c.ordinal)
	if l.conn == c {
		l.conn = nil
	}
}

func (l *lab) Changed(c *Conn, d Dir, from, to State, why Cause) {
	l.note("%v %v > %v by %v", d, from, to, why)
	l.causes[why]++
	if l.wrong == "" && !allowed(c, d, from, to, why) {
		l.wrong = l.moves[len(l.moves)-1]
	}
}

func (l *lab) note(format string, args ...any) {
	l.moves = append(l.moves, fmt.Sprintf("%v ", l.now)+fmt.Sprintf(format, args...))
}

// arrows are those of the drawing in doc.go.
var arrows = map[State]StateSet{
	Closed:      StatesOf(SynSent, SynRcvd),
	SynSent:     StatesOf(SynRcvd, Established),
	SynRcvd:     StatesOf(Established, FinWait1),
	Established: StatesOf(FinWait1, CloseWait),
	FinWait1:    StatesOf(FinWait2, Closing),
	FinWait2:    StatesOf(TimeWait),
	CloseWait:   StatesOf(LastAck, Closing),
	Closing:     StatesOf(TimeWait),
	LastAck:     StatesOf(Closed),
	TimeWait:    StatesOf(SynSent, SynRcvd),
}

// allowed tells whether a change follows an arrow, or has a right not to.
func allowed(c *Conn, d Dir, from, to State, why Cause) bool {
	return why == Evidence || why == ByTimer || to == Closed || arrows[from].Has(to)
}

// A setting is what no claim of a script may depend on: where the hosts are, which
// end of the key they get, and where their sequence numbers begin.
type setting struct {
	name   string
	swap   bool
	c, s   seq.Num
	stacks [2]Stack // C's, S's
}

var settings = []setting{
	{name: "plain", c: 1000, s: 500000},
	{name: "swapped", swap: true, c: 1000, s: 500000},
	{name: "wrap", c: 0xfffffffd, s: 0xffffffff},
	{name: "wrapped at the SYN", swap: true, c: 0xffffffff, s: 0xffffff9c},
	{name: "sign", c: 0x7ffffffe, s: 0x7fffff80},
}

func newLab(t *testing.T, set setting) *lab {
	c := &host{addr: netip.MustParseAddrPort("10.77.1.1:40000"), side: 0, isn: set.c}
	s := &host{addr: netip.MustParseAddrPort("10.77.2.1:8080"), side: 1, isn: set.s}
	stacks := set.stacks
	if set.swap {
		c.addr, s.addr = netip.MustParseAddrPort("10.77.9.1:40000"), netip.MustParseAddrPort("10.77.2.1:8080")
		c.side, s.side = 1, 0
		stacks[0], stacks[1] = stacks[1], stacks[0]
	}
	l := &lab{t: t, hosts: map[string]*host{"C": c, "S": s}, now: time.Second}
	l.table = NewTable(Config{Stacks: stacks, Observer: l})
	return l
}

// play runs a script in each setting, and a symmetric one also with C and S in
// each other's place once the opening is over.
func play(t *testing.T, opening, body script, symmetric bool, stacks [2]Stack) {
	t.Helper()
	for _, set := range settings {
		set.stacks = stacks
		ok := t.Run(set.name, func(t *testing.T) {
			newLab(t, set).run(opening + body)
		})
		if ok && symmetric {
			set.stacks[0], set.stacks[1] = stacks[1], stacks[0]
			ok = t.Run(set.name+" mirrored", func(t *testing.T) {
				newLab(t, set).run(opening + body.mirrored())
			})
		}
		if !ok {
			return // the others would say the same
		}
	}
}

// mirrored exchanges C and S: in who acts, and in the states expected.
func (s script) mirrored() script {
	var out strings.Builder
	for line := range strings.Lines(string(s)) {
		line, _, _ = strings.Cut(line, "//")
		did, want, found := strings.Cut(line, "=")
		words := strings.Fields(did)
		for i, w := range words {
			if len(w) == 2 && strings.ContainsAny(w, "><~x!") {
				words[i] = strings.NewReplacer("C", "S", "S", "C").Replace(w)
			}
		}
		if states := strings.Fields(want); len(states) > 1 {
			states[0], states[1] = states[1], states[0]
			want = strings.Join(states, " ")
		}
		out.WriteString(strings.Join(words, " "))
		if found {
			out.WriteString(" = " + want)
		}
		out.WriteByte('\n')
	}
	return script(out.String())
}

func (l *lab) run(s script) {
	l.t.Helper()
	for line := range strings.Lines(string(s)) {
		line, _, _ = strings.Cut(line, "//")
		did, want, found := strings.Cut(line, "=")
		if strings.TrimSpace(line) == "" || strings.TrimSpace(did) == "" {
			continue
		}
		l.causes = [4]int{}
		kinds, kinded := l.do(strings.Fields(did))
		if problem := l.check(want, found, kinds, kinded); problem != "" {
			l.t.Fatalf("%s\n%s\n\t%s", strings.TrimSpace(line), problem, strings.Join(l.moves, "\n\t"))
		}
	}
}

// do carries out what stands before the =.
func (l *lab) do(words []string) (kinds Kinds, kinded bool) {
	l.now += time.Millisecond
	if d, err := time.ParseDuration(strings.TrimPrefix(words[0], "+")); err == nil {
		l.pass(d)
		if words = words[1:]; len(words) == 0 {
			return 0, false
		}
	}
	act := words[0]
	if who, ok := strings.CutPrefix(act, "~"); ok {
		h := l.hosts[who]
		if len(h.held) == 0 {
			l.t.Fatalf("%q: nothing is held", words)
		}
		s := h.held[0]
		h.held = h.held[1:]
		l.deliver(who, &s)
		return 0, false
	}
	who, how := act[:1], act[1:]
	p, s := l.segment(who, words[1:])
	l.note("%s", strings.Join(words, " "))
	if how != "!" {
		_, _, kinds = l.table.Sent(l.now, l.hosts[who].side, &p, &s)
	}
	switch how {
	case ">", "!":
		l.deliver(who, &s)
	case "~":
		l.hosts[who].held = append(l.hosts[who].held, s)
	}
	return kinds, how != "!"
}

// pass lets timers run out one by one, as they would.
func (l *lab) pass(d time.Duration) {
	end := l.now + d
	for {
		at, ok := l.table.NextTimer()
		if !ok || at > end {
			break
		}
		l.now = max(l.now, at)
		l.table.Expire(l.now, 1)
	}
	l.now = end
}

func (l *lab) deliver(who string, s *Segment) {
	if c, d := l.find(who); c != nil {
		l.table.Delivered(l.now, c, d, s)
	}
}

func (l *lab) find(who string) (*Conn, Dir) {
	from, to := l.hosts[who], l.hosts[other(who)]
	return l.table.Find(from.addr, to.addr)
}

func other(who string) string {
	if who == "C" {
		return "S"
	}
	return "C"
}

var flagOf = map[rune]wire.Flags{'S': wire.SYN, 'F': wire.FIN, 'R': wire.RST, 'P': wire.PSH, '.': wire.ACK}

// segment builds the packet that the words speak of, and reads it.
func (l *lab) segment(who string, words []string) (p wire.Packet, s Segment) {
	from, to := l.hosts[who], l.hosts[other(who)]
	b := wire.Build{Src: from.addr, Dst: to.addr, Window: 1000}
	for _, r := range words[0] {
		b.Flags |= flagOf[r]
	}
	if start, end, ok := strings.Cut(words[1], ":"); ok {
		b.Seq = uint32(from.isn) + uint32(l.number(start))
		b.Payload = make([]byte, l.number(end)-l.number(start))
	}
	sack := b.Flags.Has(wire.SYN)
	for i := 2; i < len(words); i += 2 {
		n := l.number(words[i+1])
		switch words[i] {
		case "sack":
			sack = n != 0
		case "ack":
			b.Ack = uint32(to.isn) + uint32(n)
		case "win":
			b.Window = uint16(n)
		case "ts":
			b.Options = wire.AppendTimestamps(wire.AppendNOP(b.Options, 2), uint32(n), 0)
		case "ecr":
			binary.BigEndian.PutUint32(b.Options[len(b.Options)-4:], uint32(n))
		case "wscale":
			b.Options = wire.AppendWScale(b.Options, uint8(n))
		default:
			l.t.Fatalf("%q: what is %q?", words, words[i])
		}
	}
	if sack {
		b.Options = wire.AppendSACKPermitted(wire.AppendNOP(b.Options, 2))
	}
	if why := p.Parse(b.Append(nil), 0, false); why != wire.OK {
		l.t.Fatalf("%q: %v", words, why)
	}
	return p, segmentOf(&p)
}

func (l *lab) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// check compares what is with what a line says after the =.
func (l *lab) check(want string, found bool, kinds Kinds, kinded bool) string {
	if l.conn != nil {
		if problem := unsound(l.conn); problem != "" {
			return problem
		}
	}
	if l.wrong != "" {
		return "not an arrow of doc.go: " + l.wrong
	}
	want, wantKinds, withKinds := strings.Cut(want, ":")
	words := strings.Fields(want)
	if problem := l.checkCauses(words); problem != "" {
		return problem
	}
	if withKinds && kinded {
		got := kinds.String()
		if w := strings.TrimSpace(wantKinds); got != strings.TrimPrefix(w, "none") {
			return fmt.Sprintf("kinds: got %s, want %s", got, w)
		}
	}
	if !found {
		return ""
	}
	return l.checkStates(words)
}

func (l *lab) checkCauses(words []string) string {
	for why, word := range map[Cause]string{Evidence: "evidence", ByTimer: "timer"} {
		announced := false
		for _, w := range words {
			announced = announced || w == word
		}
		if announced != (l.causes[why] > 0) {
			return fmt.Sprintf("a change by %s: got %v, want %v", word, l.causes[why] > 0, announced)
		}
	}
	return ""
}

func (l *lab) checkStates(words []string) string {
	c, d := l.find("C")
	got := "none none"
	if c != nil {
		got = c.State(d).String() + " " + c.State(d.Peer()).String()
	}
	if want := strings.Join(words[:2], " "); got != want {
		return fmt.Sprintf("states: got %s, want %s", got, want)
	}
	for i, w := range words[2:] {
		switch {
		case w == "inc" && strconv.Itoa(c.Incarnation()) != words[i+3]:
			return fmt.Sprintf("incarnation: got %d, want %s", c.Incarnation(), words[i+3])
		case w == "opener" && (d == FromClient) != (words[i+3] == "C"):
			return fmt.Sprintf("opener: C's direction is %v", d)
		}
	}
	return ""
}

// unsound names the first invariant that a connection breaks.
func unsound(c *Conn) string {
	for d := range c.ends {
		x := &c.ends[d]
		if x.has(sentSyn) && x.nxt.Less(x.una) {
			return fmt.Sprintf("%v: una %d is beyond nxt %d", Dir(d), x.una, x.nxt)
		}
		if problem := x.ooo.unsound(x.rcv); problem != "" {
			return fmt.Sprintf("%v: %s: %v", Dir(d), problem, x.ooo)
		}
	}
	if c.gone != c.Closed() {
		return fmt.Sprintf("gone is %v, Closed %v", c.gone, c.Closed())
	}
	return ""
}

// unsound: the blocks lie above RCV.NXT, do not touch, are sorted and not empty.
func (rs *ranges) unsound(rcv seq.Num) string {
	below := rcv
	for _, r := range rs.held[:rs.n] {
		if !below.Less(r.From) {
			return fmt.Sprintf("block %v is not above %d", r, below)
		}
		if !r.From.Less(r.To) {
			return fmt.Sprintf("block %v is empty", r)
		}
		below = r.To
	}
	return ""
}
