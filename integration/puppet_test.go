package integration

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A puppet is the peer of one kernel's socket: it says whatever a script wants, and both
// the kernel and the model of it have to make the same of each segment.
//
//	host 0, a namespace                         the test
//	┌────────────────────┐  TUN   ┌────────────────────────────────┐
//	│ socket or listener ├────────┤ segments, conntrack, no clock  │
//	│          10.77.1.1 │        │                      10.77.2.1 │
//	└─────────┬──────────┘        └────────────────────────────────┘
//	          └ sock_diag ───► equal? ◄── inferred
//
// A packet that is written to a TUN device has been taken in when the write returns, so
// nothing is waited for. To the model much time passes between two segments: an answer
// that contradicts it has not crossed anything, and is a difference.
type puppet struct {
	t        *testing.T
	host     *netns.NS
	dev      tunnel.Device
	ip       int
	stack    conntrack.Stack
	listener int
	port     uint16 // of the puppet in the next life

	// Of the present life:
	kernel, puppet netip.AddrPort
	table          *conntrack.Table
	now            time.Duration
	fd             int // the process's socket; -1 while it has none
	closed         bool
	shut           bool
	offers         []string // the options that the puppet's SYN has
	isn            uint32
	clock, echo    uint32 // its timestamps
	steps          []string
	did            []string // what happened, for the message of a failure
	wrong          []string // the steps' contradictions
}

func newPuppet(t *testing.T, ip int, sysctls hostSettings) *puppet {
	t.Helper()
	nstest.NeedTUN(t)
	p := &puppet{t: t, ip: ip, host: nstest.New(t), stack: sysctls.stack(), port: puppetPort}
	for key, value := range sysctls {
		nstest.Must(t, p.host.Sysctl(key, value))
	}
	nstest.Must(t, p.host.Do(func() (err error) {
		p.dev, err = tunnel.Open(tunnel.Config{Offload: tunnel.Off})
		return err
	}))
	t.Cleanup(func() { p.dev.Close() })
	name := p.dev.Name()
	nstest.Must(t, errors.Join(p.host.LinkUp(name), p.host.AddAddr(name, hostAddr(ip, 0)), p.host.AddRoute(hostAddr(ip, 1), name)))
	p.listener = p.socket()
	t.Cleanup(func() { unix.Close(p.listener) })
	nstest.Must(t, unix.Bind(p.listener, sockaddr(netip.AddrPortFrom(hostAddr(ip, 0).Addr(), servePort))))
	nstest.Must(t, unix.Listen(p.listener, 4096))
	return p
}

func (p *puppet) socket() (fd int) {
	family := unix.AF_INET
	if p.ip == 6 {
		family = unix.AF_INET6
	}
	nstest.Must(p.t, p.host.Do(func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	nstest.Must(p.t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	return fd
}

// agrees plays a life until kernel and model agree in it, three times at most: a timer may
// send something in the moment before a segment goes in, which then looks like the answer.
func (p *puppet) agrees(play func() bool) bool {
	for range 3 {
		p.begin()
		ok := play()
		if p.end(); ok {
			return true
		}
	}
	return false
}

// puppetPort is above those of listeners.
const puppetPort = 20000

// begin begins another life, on a 4-tuple that nobody has.
func (p *puppet) begin() {
	if p.port++; p.port < puppetPort {
		p.port = puppetPort // once round
	}
	p.kernel = netip.AddrPortFrom(hostAddr(p.ip, 0).Addr(), servePort)
	p.puppet = netip.AddrPortFrom(hostAddr(p.ip, 1).Addr(), p.port)
	p.table = conntrack.NewTable(conntrack.Config{Observer: p, Stacks: [2]conntrack.Stack{p.stack}})
	p.now, p.fd, p.closed, p.shut = time.Second, -1, false, false
	p.isn, p.clock, p.echo = uint32(p.port)*0x10001, uint32(p.port)*0x20003, 0
	p.steps, p.did, p.wrong = nil, nil, nil
	p.offers = []string{"timestamps", "wscale", "sack"}
}

// end takes away what the life has left in the kernel.
func (p *puppet) end() {
	p.close()
	for _, s := range p.sockets() {
		if s.State != "LISTEN" {
			p.host.Destroy(s) // what is gone meanwhile is gone
		}
	}
	for p.fd = p.accept(); p.fd >= 0; p.fd = p.accept() {
		unix.Close(p.fd)
	}
	p.hear()
}

func (p *puppet) sockets() []netns.Socket {
	all, err := p.host.Sockets()
	nstest.Must(p.t, err)
	return all
}

// runAll is run for a script.
func (p *puppet) runAll(script string) bool {
	for step := range strings.Lines(script) {
		if !p.run(strings.TrimSpace(step)) {
			return false
		}
	}
	return true
}

// run takes one step of a script and tells whether both still agree. A step is a line:
//
//	offer NAME...          the options of the puppet's SYN: timestamps, wscale, sack
//	say FLAGS WORD...      the puppet says a segment: seq, ack, len, win, ts, ecr with a value each.
//	                       seq counts from RCV.NXT of the kernel, ack from its SND.NXT, ts and ecr
//	                       from those that would be right; "edge", "highest", "una", "iss", "isn"
//	                       begin elsewhere: una-1. "ts none" leaves them out.
//	                       "honest" is what a peer has sent, other segments are forged
//	app WORD               connect, send N, recv, error (of SO_ERROR), shutdown, close, abort; an errno, EOF
//	                       or a number of bytes behind it is what the call has to come to
//	= STATE                what both have to have
func (p *puppet) run(step string) bool {
	p.steps = append(p.steps, step)
	p.did = append(p.did, step)
	words := strings.Fields(step)
	p.hear() // what a timer has sent
	switch words[0] {
	case "offer":
		p.offers = words[1:]
	case "say":
		p.say(words[1:])
	case "app":
		p.app(words[1:])
	case "=":
		if got := p.model().String(); got != words[1] {
			p.wrong = append(p.wrong, "it is "+got)
		}
	default:
		p.t.Fatalf("there is no step %q", step)
	}
	return p.agree()
}

// agree looks whether kernel and model have the same state, once the kernel has
// said what it has to say.
func (p *puppet) agree() bool {
	p.hear()
	if fd := p.accept(); fd >= 0 {
		p.fd, p.closed, p.shut = fd, false, false
	}
	kernel, model := p.state(), p.model()
	p.note("kernel %v, model %v", kernel, model)
	if kernel != model {
		p.wrong = append(p.wrong, fmt.Sprintf("kernel %v, model %v", kernel, model))
	}
	return len(p.wrong) == 0
}

func (p *puppet) note(format string, args ...any) {
	p.did = append(p.did, "\t"+fmt.Sprintf(format, args...))
}

// String is the life so far.
func (p *puppet) String() string {
	return fmt.Sprintf("%v in\n%s\n%s", p.wrong, strings.Join(p.steps, "\n"), strings.Join(p.did, "\n"))
}

// state is the kernel's; of two sockets on the 4-tuple TIME_WAIT does not count.
func (p *puppet) state() conntrack.State {
	mine := slices.DeleteFunc(p.sockets(), func(s netns.Socket) bool { return s.Local != p.kernel || s.Remote != p.puppet })
	slices.SortFunc(mine, func(a, b netns.Socket) int { return strings.Compare(a.State, b.State) })
	if len(mine) == 0 {
		return conntrack.Closed
	}
	return stateOf(mine[0])
}

// inferred is the kernel's endpoint; nil as long as nobody knows of the connection.
func (p *puppet) inferred() (c *conntrack.Conn, x *conntrack.Endpoint, d conntrack.Dir) {
	if c, d = p.table.Find(p.kernel, p.puppet); c != nil {
		x = c.End(d)
	}
	return c, x, d
}

func (p *puppet) model() conntrack.State {
	if _, x, _ := p.inferred(); x != nil {
		return x.State()
	}
	return conntrack.Closed
}

// hear tells the model of everything that the kernel has sent.
func (p *puppet) hear() {
	var raw [tunnel.MaxPacket]byte
	for {
		n, _, err := p.dev.Queue(0).Read(raw[:])
		if errors.Is(err, tunnel.ErrEmpty) {
			return
		}
		nstest.Must(p.t, err)
		var packet wire.Packet
		if packet.Parse(raw[:n], 0, false) == wire.OK && packet.SrcAddrPort() == p.kernel && packet.DstAddrPort() == p.puppet {
			p.heard(&packet)
		}
	}
}

// pause is how much time passes for the model between two segments: more than any that
// could have crossed.
const pause = 200 * time.Millisecond

func (p *puppet) heard(packet *wire.Packet) {
	s := conntrack.Read(packet)
	s.Set(packet.At(0))
	if s.HasTS {
		p.echo = s.TSVal
	}
	p.now += pause
	_, _, kinds := p.table.Sent(p.now, 0, packet, &s)
	p.note("it sends %v seq %d ack %d len %d win %d: %v", s.Flags, s.Seq, s.Ack, s.Len, s.Window, kinds)
}

// say puts a segment together and hands it to the kernel and to the model.
func (p *puppet) say(words []string) {
	b := p.segment(words)
	data := b.Append(nil)
	var packet wire.Packet
	if why := packet.Parse(data, 0, false); why != wire.OK {
		p.t.Fatalf("%v: %v", words, why)
	}
	s := conntrack.Read(&packet)
	s.Set(packet.At(0))
	p.note("seq %d ack %d len %d win %d ts %d ecr %d", s.Seq, s.Ack, s.Len, s.Window, s.TSVal, s.TSEcr)
	p.now += pause
	c, _, d := p.inferred()
	if c == nil || slices.Contains(words, "honest") {
		c, d, _ = p.table.Sent(p.now, 1, &packet, &s)
		d = d.Peer()
	}
	nstest.Must(p.t, p.dev.Queue(0).Write(tunnel.Header{}, data, nil))
	if c != nil {
		p.table.Delivered(p.now, c, d.Peer(), &s)
	}
}

// segment is what the words say.
func (p *puppet) segment(words []string) wire.Build {
	from := p.numbers()
	b := wire.Build{Src: p.puppet, Dst: p.kernel, Seq: from["rcv"], Ack: from["nxt"], Window: 64000}
	if words[0] != "-" {
		var err error
		b.Flags, err = wire.ParseFlags(words[0])
		nstest.Must(p.t, err)
	}
	clock, echo, stamped := p.clock, p.echo, slices.Contains(p.offers, "timestamps")
	for words = words[1:]; len(words) > 1; words = words[2:] {
		switch words[0] {
		case "seq":
			b.Seq = number(p.t, words[1], "rcv", from)
		case "ack":
			b.Ack = number(p.t, words[1], "nxt", from)
		case "len":
			b.Payload = payload[:number(p.t, words[1], "zero", from)]
		case "win":
			b.Window = uint16(number(p.t, words[1], "zero", from))
		case "ts":
			if stamped = words[1] != "none"; stamped {
				clock = number(p.t, words[1], "clock", from)
			}
		case "ecr":
			echo = number(p.t, words[1], "echo", from)
		default:
			p.t.Fatalf("what is %q?", words)
		}
	}
	if stamped {
		b.Options = wire.AppendTimestamps(wire.AppendNOP(nil, 2), clock, echo)
	}
	if b.Flags.Has(wire.SYN) {
		b.Options = p.synOptions(b.Options)
	}
	if int32(clock-p.clock) > 0 {
		p.clock = clock
	}
	return b
}

// synOptions adds what only a SYN offers.
func (p *puppet) synOptions(options []byte) []byte {
	options = wire.AppendMSS(options, 1460)
	if slices.Contains(p.offers, "wscale") {
		options = wire.AppendWScale(wire.AppendNOP(options, 1), 7)
	}
	if slices.Contains(p.offers, "sack") {
		options = wire.AppendSACKPermitted(wire.AppendNOP(options, 2))
	}
	return options
}

// numbers are those that the words of a segment count from.
func (p *puppet) numbers() map[string]uint32 {
	from := map[string]uint32{"zero": 0, "isn": p.isn, "rcv": p.isn, "clock": p.clock, "echo": p.echo}
	c, x, _ := p.inferred()
	if c == nil {
		return from
	}
	iss, _ := x.ISN()
	for name, n := range map[string]seq.Num{"iss": iss, "una": x.Unacked(), "nxt": x.Next()} {
		from[name] = uint32(n)
	}
	if _, ok := x.PeerISN(); ok {
		from["rcv"], from["highest"] = uint32(x.Received()), uint32(x.Highest())
		from["edge"] = uint32(x.Received().Add(x.Window()))
	}
	return from
}

// number reads edge+1, or +1 where it counts from what is usual.
func number(t *testing.T, text, usual string, from map[string]uint32) uint32 {
	t.Helper()
	at := strings.IndexAny(text, "+-0123456789")
	name, offset := text, "0"
	if at >= 0 {
		name, offset = text[:at], text[at:]
	}
	if name == "" {
		name = usual
	}
	n, err := strconv.ParseInt(offset, 10, 33)
	nstest.Must(t, err)
	return from[name] + uint32(n)
}

// app does what a process would with its socket.
func (p *puppet) app(words []string) {
	switch words[0] {
	case "connect":
		p.connect()
		return
	case "shutdown":
		p.shut = true
		unix.Shutdown(p.fd, unix.SHUT_WR)
	case "abort":
		unix.SetsockoptLinger(p.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		p.close()
	case "close":
		p.close()
	case "recv":
		var buf [70000]byte
		n, err := unix.Read(p.fd, buf[:])
		p.met(n, err, words[1:])
	case "send":
		n, err := unix.SendmsgN(p.fd, payload[:number(p.t, words[1], "zero", nil)], nil, nil, unix.MSG_NOSIGNAL)
		p.met(n, err, words[2:])
	case "error":
		n, err := unix.GetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		nstest.Must(p.t, err)
		p.met(0, unix.Errno(n), words[1:])
	default:
		p.t.Fatalf("a process cannot %q", words)
	}
}

// met holds what a call came to against what it has to, if that is said.
func (p *puppet) met(n int, err error, want []string) {
	got := strconv.Itoa(n)
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		got = unix.ErrnoName(errno)
	} else if n == 0 {
		got = "EOF"
	}
	if len(want) > 0 && got != want[0] {
		p.wrong = append(p.wrong, "the process has met "+got)
	}
}

func (p *puppet) close() {
	if p.fd >= 0 && !p.closed {
		unix.Close(p.fd)
	}
	p.closed, p.shut = true, true
}

// connect opens from the kernel's side, from the port that the puppet has on its own.
func (p *puppet) connect() {
	p.kernel = netip.AddrPortFrom(p.kernel.Addr(), p.port)
	p.fd, p.closed = p.socket(), false
	nstest.Must(p.t, unix.Bind(p.fd, sockaddr(p.kernel)))
	if err := unix.Connect(p.fd, sockaddr(p.puppet)); err != unix.EINPROGRESS {
		nstest.Must(p.t, err)
	}
}

// accept is what the listener has for the process; -1 is nothing.
func (p *puppet) accept() int {
	fd, _, err := unix.Accept4(p.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return -1
	}
	return fd
}

// Opened, Closed and Removed hear of nothing that a puppet wants to know.
func (p *puppet) Opened(c, old *conntrack.Conn) {}

func (p *puppet) Closed(*conntrack.Conn, conntrack.Reason) {}

func (p *puppet) Removed(*conntrack.Conn) {}

// Changed notes what the model thinks. That the kernel's own segments contradict it is a
// difference.
func (p *puppet) Changed(c *conntrack.Conn, d conntrack.Dir, from, to conntrack.State, why conntrack.Cause) {
	if c.Addr(d) != p.kernel {
		return
	}
	p.note("%v > %v by %v", from, to, why)
	if why == conntrack.Evidence {
		p.wrong = append(p.wrong, fmt.Sprintf("%v > %v by evidence", from, to))
	}
}
