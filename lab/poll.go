package lab

import (
	"net/netip"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// A tuple is a 4-tuple by hosts: the client host's end and the server host's,
// whichever of them connected.
type tuple [2]netip.AddrPort

// An end is what one kernel shows of a tuple.
type end struct {
	state     conntrack.State // Closed without a socket
	present   bool            // there is a socket for the tuple
	listening bool            // there is a listener on its port
	unsent    bool            // data, not only a FIN, is not acknowledged
	remnant   bool            // TIME_WAIT, or FIN_WAIT_2 without a process: no socket any more
}

// A sample is the state of both kernels at one moment. Its maps are used again for the next.
type sample struct {
	at     time.Duration // on the box's clock, when it was complete
	conns  map[tuple]*[2]end
	listen [2]map[uint16]bool
	known  []tuple // all there have been, in the order in which they were met

	// first is what the client's ends were in before the server's were looked at; nil: nobody
	// has looked. A state of both ends that was never there at once is not found this way.
	first map[tuple]end

	// ticking: a timer runs that will have a segment sent, on either host.
	ticking bool
	running bool // one runs that ends a state: of TIME_WAIT, or of a FIN_WAIT_2 that nobody owns
}

// A poller samples two hosts. One goroutine uses it.
type poller struct {
	hosts [2]*host
	clock func() time.Duration
	last  sample
	socks []netns.Socket
	seen  map[tuple]bool

	listened [2]map[uint16]bool // ports that have ever had a listener, by host
}

func newPoller(hosts [2]*host, clock func() time.Duration) *poller {
	p := &poller{hosts: hosts, clock: clock, seen: make(map[tuple]bool)}
	p.last.conns, p.last.first = make(map[tuple]*[2]end), make(map[tuple]end)
	for side := range hosts {
		p.last.listen[side], p.listened[side] = make(map[uint16]bool), make(map[uint16]bool)
	}
	return p
}

// meet makes a tuple known that the box has seen; a kernel may have nothing to show of it.
func (p *poller) meet(t tuple) {
	if !p.seen[t] {
		p.seen[t] = true
		p.last.known = append(p.last.known, t)
	}
}

// poll takes a sample, which is good until the next.
func (p *poller) poll() (*sample, error) {
	s := &p.last
	s.ticking, s.running = false, false
	if err := p.ask(clientSide); err != nil {
		return nil, err
	}
	for t, ends := range s.conns {
		s.first[t] = ends[clientSide]
	}
	for _, side := range []int{serverSide, clientSide} {
		if err := p.ask(side); err != nil {
			return nil, err
		}
	}
	s.at = p.clock()
	return s, nil
}

// ask takes down what one kernel shows now.
func (p *poller) ask(side int) (err error) {
	s := &p.last
	for _, ends := range s.conns {
		ends[side] = end{}
	}
	clear(s.listen[side])
	if p.socks, err = p.hosts[side].ns.AppendSockets(p.socks[:0]); err != nil {
		return err
	}
	for i := range p.socks {
		p.take(side, &p.socks[i])
	}
	for t, ends := range s.conns {
		ends[side].listening = s.listen[side][t[side].Port()]
	}
	return nil
}

// take enters one socket.
func (p *poller) take(side int, sock *netns.Socket) {
	if sock.State == listenName {
		p.last.listen[side][sock.Local.Port()] = true
		p.listened[side][sock.Local.Port()] = true
		return
	}
	p.last.ticking = p.last.ticking || sock.Timer != netns.TimerOff && sock.Timer != netns.TimerTimeWait
	if !isOf(side, sock.Local) || !isOf(1-side, sock.Remote) {
		return // on the loopback, or not connected yet
	}
	state, ok := conntrack.ParseState(sock.State)
	if !ok || state == conntrack.Closed {
		return
	}
	p.last.running = p.last.running || sock.Timer == netns.TimerTimeWait
	var t tuple
	t[side], t[1-side] = sock.Local, sock.Remote
	p.meet(t)
	ends := p.last.conns[t]
	if ends == nil {
		both := p.last.ends(t) // whom nobody has asked since has nothing but a listener
		ends = &both
		p.last.conns[t] = ends
	}
	if e := &ends[side]; !e.present || state != conntrack.TimeWait {
		*e = end{state: state, present: true, unsent: sock.SendQueue > 1, remnant: sock.Timer == netns.TimerTimeWait}
	}
}

// ends is both ends of a tuple.
func (s *sample) ends(t tuple) (e [2]end) {
	if both := s.conns[t]; both != nil {
		return *both
	}
	for side := range e {
		e[side].listening = s.listen[side][t[side].Port()]
	}
	return e
}

// matches tells whether both ends of a tuple are as wanted, at the same moment: the client's
// was so before and after the server's.
func (p pair) matches(s *sample, t tuple) bool {
	e := s.ends(t)
	if !p[clientSide].has(e[clientSide]) || !p[serverSide].has(e[serverSide]) {
		return false
	}
	return p[serverSide] == nil || s.first == nil || s.conns[t] == nil || p[clientSide].has(s.first[t])
}

// find lists the tuples that are as wanted, in the order in which they were met.
func (p pair) find(s *sample, found []tuple) []tuple {
	for _, t := range s.known {
		if p.matches(s, t) {
			found = append(found, t)
		}
	}
	return found
}

// holds tells whether some tuple is as wanted. A listener alone needs no tuple.
func (p pair) holds(s *sample) bool {
	return len(p.find(s, nil)) > 0 || p.listens(s)
}

// listens: the pair wants only one side, in LISTEN, and there is a listener.
func (p pair) listens(s *sample) bool {
	for side, want := range p {
		if want != nil && want.listen && p[1-side] == nil && len(s.listen[side]) > 0 {
			return true
		}
	}
	return false
}
