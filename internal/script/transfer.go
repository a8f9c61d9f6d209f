package script

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// chunk is the most that one system call moves. A text, and a pattern up to
// this size, is one send(2).
const chunk = 64 << 10

var buffers = sync.Pool{New: func() any { return new([chunk]byte) }}

type sendStep struct{ text string }

func (s sendStep) run(_ context.Context, t *task) (string, error) {
	c, err := t.latest(connection)
	if err != nil {
		return "", err
	}
	n, err := t.send(c, []byte(s.text))
	return "", partially(int64(n), nil, err)
}

type sendPatternStep struct{ n int64 }

func (s sendPatternStep) run(_ context.Context, t *task) (string, error) {
	c, err := t.latest(connection)
	if err != nil {
		return "", err
	}
	buf := buffers.Get().(*[chunk]byte)
	defer buffers.Put(buf)
	var sent int64
	for sent < s.n {
		p := buf[:min(chunk, s.n-sent)]
		Pattern(p, c.sent)
		n, err := t.send(c, p)
		sent += int64(n)
		if err != nil {
			return "", partially(sent, nil, err)
		}
	}
	return "", nil
}

// send hands all of p to the kernel, and tells how much it took.
func (t *task) send(c *socket, p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		var n int
		err := c.awaitWrite(t.blocked, func(fd int) (err error) {
			n, err = unix.SendmsgN(fd, p[sent:], nil, nil, unix.MSG_NOSIGNAL)
			return err
		})
		if err != nil {
			return sent, err
		}
		sent += n
		c.sent += int64(n)
	}
	return sent, nil
}

// untilEOF is a recv without a number of bytes.
const untilEOF = -1

type recvStep struct {
	n       int64
	pattern bool // what comes must be the pattern
}

func (s recvStep) run(_ context.Context, t *task) (string, error) {
	c, err := t.latest(connection)
	if err != nil {
		return "", err
	}
	var in intake
	if s.pattern {
		at := c.received
		in.want = func(p []byte, from int64) { Pattern(p, at+from) }
	}
	err = t.receive(c, s.n, &in)
	return in.String(), partially(in.n, in.head, err)
}

type recvTextStep struct{ text string }

func (s recvTextStep) run(_ context.Context, t *task) (string, error) {
	c, err := t.latest(connection)
	if err != nil {
		return "", err
	}
	in := intake{want: func(p []byte, from int64) { copy(p, s.text[from:]) }}
	err = t.receive(c, int64(len(s.text)), &in)
	return "", partially(in.n, in.head, err)
}

// receive reads n bytes and not one more, or until the stream ends.
func (t *task) receive(c *socket, n int64, in *intake) error {
	buf := buffers.Get().(*[chunk]byte)
	defer buffers.Put(buf)
	for n == untilEOF || in.n < n {
		p := buf[:]
		if n != untilEOF {
			p = p[:min(chunk, n-in.n)]
		}
		got, err := t.read(c, p)
		switch {
		case err != nil:
			return err
		case got == 0 && n == untilEOF:
			return nil
		case got == 0:
			return errEOF
		}
		if err := in.take(p[:got]); err != nil {
			return err
		}
	}
	return nil
}

func (t *task) read(c *socket, p []byte) (n int, err error) {
	err = c.awaitRead(t.blocked, func(fd int) (err error) {
		n, err = unix.Read(fd, p)
		return err
	})
	if err != nil {
		return 0, err
	}
	c.received += int64(n)
	return n, nil
}

// An intake judges what one command received. It keeps only the beginning.
type intake struct {
	n    int64
	head []byte
	want func(p []byte, from int64) // fills in what must come; nil: anything
}

const headLen = 64

func (in *intake) take(p []byte) error {
	in.head = append(in.head, p[:min(len(p), headLen-len(in.head))]...)
	from := in.n
	in.n += int64(len(p))
	if in.want == nil {
		return nil
	}
	want := make([]byte, len(p))
	in.want(want, from)
	for i := range p {
		if p[i] != want[i] {
			return mismatch(from+int64(i), p[i:], want[i:])
		}
	}
	return nil
}

// String is as "4 bytes "ping"".
func (in *intake) String() string { return amount(in.n, in.head) }

func amount(n int64, head []byte) string {
	s := fmt.Sprintf("%d bytes", n)
	if n == 1 {
		s = "1 byte"
	}
	if len(head) > 0 {
		s += fmt.Sprintf(" %q", head)
	}
	if len(head) > 0 && int64(len(head)) < n {
		s += "..."
	}
	return s
}

// mismatch says what came at byte at (from 0, of what the command received) in
// place of what.
func mismatch(at int64, got, want []byte) error {
	const enough = 16
	return &named{Mismatch, fmt.Sprintf("%s at byte %d: %q came where %q was due", Mismatch, at,
		got[:min(len(got), enough)], want[:min(len(want), enough)])}
}

// A partial error came when a command had already moved some bytes.
type partial struct {
	n    int64
	head []byte // how they begin, of a recv
	err  error
}

// Error is as "ECONNRESET after 2 bytes "po"".
func (p *partial) Error() string { return describe(p.err) + " after " + amount(p.n, p.head) }
func (p *partial) Unwrap() error { return p.err }

// partially adds to an error how much had been moved before it.
func partially(n int64, head []byte, err error) error {
	if err == nil || n == 0 || nameOf(err) == Mismatch {
		return err
	}
	return &partial{n, head, err}
}
