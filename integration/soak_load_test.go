package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A crowd is clients that come and go, and the servers they talk to, until its end.
// Streams to the one port always arrive; those to the other meet resets and black holes.
type crowd struct {
	t    *testing.T
	line *line
	quit context.CancelFunc
	ctx  context.Context
	in   sync.WaitGroup // the clients
	all  sync.WaitGroup // the servers

	listeners [2]net.Listener
	dialed    atomic.Int64
	opened    atomic.Int64
	whole     atomic.Int64 // streams that have come back to their end
	bytes     atomic.Int64
	refused   atomic.Int64
}

const (
	safePort  = servePort
	roughPort = servePort + 1
	crowdSize = 24 // clients at a time
	// bulk is the most that one sends, in bytes.
	bulk = 1 << 20
)

func newCrowd(t *testing.T, l *line) *crowd {
	t.Helper()
	c := &crowd{t: t, line: l}
	c.ctx, c.quit = context.WithCancel(context.Background())
	for i, port := range []uint16{safePort, roughPort} {
		if err := l.hosts[1].Do(func() (err error) {
			c.listeners[i], err = net.Listen("tcp", netip.AddrPortFrom(l.addrs[1], port).String())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		c.all.Go(func() { c.serve(c.listeners[i]) })
	}
	for i := range crowdSize {
		c.in.Go(func() { c.visit(rand.New(rand.NewPCG(*soakSeed, uint64(i)+10))) })
	}
	return c
}

// end waits until the last client has gone.
func (c *crowd) end() {
	c.quit()
	c.in.Wait()
	for _, l := range c.listeners {
		l.Close()
	}
	c.all.Wait()
}

// serve echoes what each connection says, to its end.
func (c *crowd) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		c.all.Go(func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(longest))
			io.Copy(conn, conn)
		})
	}
}

// visit is one client after the other.
func (c *crowd) visit(r *rand.Rand) {
	pattern := streamData(3, bulk)
	for c.ctx.Err() == nil && !c.t.Failed() {
		port := uint16(safePort)
		if r.IntN(4) == 0 {
			port = roughPort
		}
		v := visitor{crowd: c, port: port, data: pattern[:1+r.IntN(1<<r.IntN(21))]}
		v.aborts = r.IntN(6) == 0
		if err := v.talk(r); err != nil && (port == safePort || !endedRoughly(err)) {
			c.t.Errorf("port %d, %d bytes, aborts %t: %v", port, len(v.data), v.aborts, err)
		}
	}
}

// endedRoughly tells the ends that the rules of the rough port make.
func endedRoughly(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrDeadlineExceeded)
}

// A visitor is one connection of a client.
type visitor struct {
	*crowd
	port   uint16
	data   []byte
	aborts bool // in the middle, by a RST
}

// talk sends, and hears the echo: each byte once and in order, and all of them
// unless it was cut short.
func (v *visitor) talk(r *rand.Rand) error {
	dialed, err := v.dial()
	if err != nil {
		return err
	}
	defer dialed.Close()
	conn := dialed.(*net.TCPConn)
	conn.SetDeadline(time.Now().Add(longest))
	if v.port == roughPort {
		conn.SetDeadline(time.Now().Add(time.Second))
	}
	v.opened.Add(1)
	var sending sync.WaitGroup
	var sendErr error
	sending.Go(func() {
		if _, sendErr = conn.Write(v.data); sendErr == nil {
			sendErr = conn.CloseWrite()
		}
	})
	want := len(v.data)
	if v.aborts {
		want = r.IntN(want)
	}
	err = v.hear(conn, want)
	if v.aborts {
		conn.SetLinger(0)
		conn.Close()
		sending.Wait()
		return err
	}
	sending.Wait()
	if err == nil && sendErr == nil {
		_, err = conn.Read(make([]byte, 1))
		if err == io.EOF {
			v.whole.Add(1)
			return nil
		}
		err = fmt.Errorf("after the end: %w", errors.Join(err, errors.New("no end")))
	}
	return errors.Join(err, sendErr)
}

// hear reads so many bytes of the echo.
func (v *visitor) hear(conn net.Conn, want int) error {
	buf := make([]byte, 64<<10)
	for at := 0; at < want; {
		n, err := conn.Read(buf[:min(len(buf), want-at)])
		if !bytes.Equal(buf[:n], v.data[at:at+n]) {
			return fmt.Errorf("other bytes came back than were sent, after %d of %d", at, want)
		}
		v.bytes.Add(int64(n))
		if at += n; err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", at, want, err)
		}
	}
	return nil
}

// Ports are taken in turn: of an aborted connection no TIME_WAIT is left, and what the box
// has kept of its segments must not reach the next one on its 4-tuple, which might take them.
const (
	firstPort = 20000
	ports     = 4000
)

// dial connects from the next port. A SYN that meets what an abort has left of an
// earlier incarnation may be refused (tcp_timewait_state_process, FIN_WAIT_2): that is the
// kernel's answer, and rare.
func (v *visitor) dial() (conn net.Conn, err error) {
	d := net.Dialer{Timeout: longest, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { set(int(fd), []option{{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}}) })
	}}
	for end := time.Now().Add(longest); time.Now().Before(end); time.Sleep(time.Millisecond) {
		d.LocalAddr = &net.TCPAddr{Port: firstPort + int(v.dialed.Add(1)%ports)}
		err = v.line.hosts[0].Do(func() error {
			conn, err = d.Dial("tcp", netip.AddrPortFrom(v.line.addrs[1], v.port).String())
			return err
		})
		if errors.Is(err, syscall.ECONNREFUSED) {
			v.refused.Add(1)
			continue
		}
		if !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.EADDRINUSE) {
			return conn, err
		}
	}
	return nil, err
}
