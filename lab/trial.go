package lab

import (
	"errors"
	"fmt"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// These refuse expectations about what nobody sees.
var (
	errOutside = errors.New("only a lab can tell")
	errCommand = errors.New("there is no command that it could be about; tcpmangle exec has one")
)

// A Trial judges the expectations of files where there is no lab: of rules, and of a
// command in front of the box, which is the client then. One goroutine uses it.
type Trial struct {
	fired   func(rule string) uint64
	command *netns.NS // nil: there is no command
	judged  []judged
	exits   []*exitSpec
	sample  sample
	socks   []netns.Socket
}

// NewTrial reads what is to be judged; Begin comes next. If there is no command, what is
// expected of it is an error.
func NewTrial(files []*File, command bool) (*Trial, error) {
	t := &Trial{sample: sample{conns: make(map[tuple]*[2]end)}}
	for _, f := range files {
		for _, e := range f.expects {
			if err := t.take(e, command); err != nil {
				return nil, fmt.Errorf("%s: %v: %w", f.Path, e, err)
			}
		}
	}
	return t, nil
}

// Begin says where counts of rules come from, and what the namespace of the command is;
// nil: there is none.
func (t *Trial) Begin(fired func(rule string) uint64, command *netns.NS) {
	t.fired, t.command = fired, command
}

func (t *Trial) take(e spec, command bool) error {
	switch s := e.(type) {
	case *firedSpec:
	case *stateSpec:
		if s.want[serverSide] != nil {
			return errOutside
		}
		if !command {
			return errCommand
		}
	case *exitSpec:
		if s.side != clientSide {
			return errOutside
		}
		if !command {
			return errCommand
		}
		t.exits = append(t.exits, s)
		return nil
	default:
		return errOutside
	}
	t.judged = append(t.judged, judged{Expectation: Expectation{Text: e.String()}, check: e.check()})
	return nil
}

// Open tells whether something is left that has to be looked at before the end.
func (t *Trial) Open() bool { return anyOpen(t.judged) }

// Look judges what can be known by now, a time since the start.
func (t *Trial) Look(at time.Duration) error { return t.look(at, false) }

func (t *Trial) look(at time.Duration, last bool) error {
	if err := t.poll(at); err != nil {
		return err
	}
	m := &moment{at: at, sample: &t.sample, fired: t.fired, last: last}
	for i := range t.judged {
		t.judged[i].look(m)
	}
	return nil
}

// poll looks at the command's sockets.
func (t *Trial) poll(at time.Duration) (err error) {
	if t.command == nil {
		return nil
	}
	s := &t.sample
	s.at, s.listen[clientSide] = at, nil
	for _, ends := range s.conns {
		*ends = [2]end{}
	}
	if t.socks, err = t.command.AppendSockets(t.socks[:0]); err != nil {
		return err
	}
	for i := range t.socks {
		t.meet(&t.socks[i])
	}
	return nil
}

// meet enters a socket. One that the command has with itself is nobody's business.
func (t *Trial) meet(sock *netns.Socket) {
	s := &t.sample
	if sock.State == listenName {
		s.listen[clientSide] = map[uint16]bool{sock.Local.Port(): true}
		return
	}
	state, ok := conntrack.ParseState(sock.State)
	if !ok || state == conntrack.Closed || sock.Remote.Addr().IsLoopback() {
		return
	}
	ends := tuple{sock.Local, sock.Remote}
	if s.conns[ends] == nil {
		s.conns[ends] = new([2]end)
		s.known = append(s.known, ends)
	}
	s.conns[ends][clientSide] = end{state: state, present: true}
}

// Close judges what is open for the last time. Status is the command's, if there is one.
func (t *Trial) Close(at time.Duration, status int) ([]Expectation, error) {
	err := t.look(at, true)
	var all []Expectation
	for _, j := range t.judged {
		all = append(all, j.Expectation)
	}
	for _, e := range t.exits {
		x := Expectation{Text: e.String(), At: at, OK: status == e.status && !e.within.over(at)}
		if !x.OK {
			x.Why = fmt.Sprintf("it ended with %d at %.3fs", status, at.Seconds())
		}
		all = append(all, x)
	}
	return all, err
}

// Expects tells whether an expectation judges a rule, so that it may stay unfired where
// that is what was expected.
func (t *Trial) Expects(rule string) bool {
	for _, j := range t.judged {
		if s, ok := j.check.(*firedSpec); ok && s.rule == rule && s.fired.Match(0) {
			return true
		}
	}
	return false
}

// outside tells whether an expectation of a kind can be judged without a lab.
func outside(t *tomldoc.Table, kind string) bool {
	switch kind {
	case "rule":
		return true
	case "client":
		return !t.Has("server")
	case "exit":
		v, _ := t.Value(kind)
		return !namesServer(v)
	}
	return false
}

// namesServer tells whether an expectation of a side is, or also is, one of the server.
func namesServer(v tomldoc.Value) bool {
	if below, ok := v.Any().(map[string]any); ok {
		_, names := below[sideNames[serverSide]]
		return names
	}
	text, _ := v.Any().(string)
	return len(text) >= len(sideNames[serverSide]) && text[:len(sideNames[serverSide])] == sideNames[serverSide]
}
