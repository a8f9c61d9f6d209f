package control_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/control"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// Two kernels, and the API between them:
//
//	namespace A                                   namespace B
//	10.77.1.1/32 ─ tun ══ engine.Engine ══ tun ─ 10.77.2.1/32
//	                            │
//	                      control.Server ◄─ client.Client

// newLab makes the picture above.
func newLab(t *testing.T, set string) (a, b *nstest.End, c *client.Client) {
	t.Helper()
	a, b = nstest.Ends(t)
	files := mustParse(t, set)
	eng, err := engine.New(engine.Config{Devices: [2]tunnel.Device{a.Dev, b.Dev}, Rules: files})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- eng.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if lost, err := eng.RingDrops(); lost > 0 || err != nil {
			t.Errorf("the rings have lost %d packets: %v", lost, err)
		}
	})
	r := &rig{t: t, eng: eng, Server: control.New(control.Config{Engine: eng, Book: control.NewBook(eng, files)})}
	return a, b, r.serve()
}

// connect makes a connection from a to b.
func connect(t *testing.T, a, b *nstest.End) (from, to *net.TCPConn) {
	t.Helper()
	at := netip.AddrPortFrom(b.Addr, 8080)
	l := nstest.Listen(t, b.NS, at.String())
	defer l.Close()
	from, err := nstest.Dial(a.NS, at)
	nstest.Must(t, err)
	to, err = l.AcceptTCP()
	nstest.Must(t, err)
	for _, c := range []net.Conn{from, to} {
		c.SetDeadline(time.Now().Add(patience))
		t.Cleanup(func() { c.Close() })
	}
	return from, to
}

// patience is for a machine with much else to do.
const patience = 20 * time.Second

// A black hole is put on and healed while 8 MiB are on their way: each byte arrives once
// and in order.
func TestBlackholeAndHeal(t *testing.T) {
	a, b, c := newLab(t, noRules)
	from, to := connect(t, a, b)
	sent := make([]byte, 8<<20)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	half := len(sent) / 2
	go func() {
		from.Write(sent[:half])
	}()
	got := make([]byte, half)
	if _, err := io.ReadFull(to, got); err != nil {
		t.Fatal(err)
	}
	conns, err := c.Connections(t.Context(), client.Filter{Port: "8080", State: "ESTABLISHED"})
	if err != nil || len(conns) != 1 {
		t.Fatalf("%+v, %v", conns, err)
	}
	conn, err := c.Act(t.Context(), conns[0].Conn, client.Blackhole("both"))
	if err != nil || len(conn.Lost) != 2 {
		t.Fatalf("%+v, %v", conn, err)
	}
	writing := make(chan error, 1)
	go func() {
		_, err := from.Write(sent[half:])
		writing <- errors.Join(err, from.CloseWrite())
	}()
	to.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := to.Read(got[:1]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes came out of a black hole: %v", n, err)
	}
	got[0] = sent[0]
	if err := c.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	to.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(to)
	if err := errors.Join(err, <-writing); err != nil {
		t.Error(err)
	}
	if conn, err := c.Connection(t.Context(), conns[0].Conn); err != nil || conn.Bytes.Client != (client.Stream{Sent: 8 << 20, Delivered: 8 << 20}) {
		t.Errorf("bytes: %+v, %v", conn, err)
	}
	if sha256.Sum256(append(got, rest...)) != sha256.Sum256(sent) {
		t.Errorf("%d bytes arrived, not those that were sent", half+len(rest))
	}
}

// 10,000 calls while a stream passes: no packet is lost to them (newLab looks at the
// rings), and each byte arrives once and in order.
func TestCallsUnderTraffic(t *testing.T) {
	a, b, c := newLab(t, noRules)
	from, to := connect(t, a, b)
	done := make(chan struct{})
	sent := make(chan uint64, 1)
	go func() {
		defer from.CloseWrite()
		var n uint64
		defer func() { sent <- n }()
		chunk := make([]byte, 8<<10)
		for {
			for i := 0; i < len(chunk); i += 8 {
				binary.BigEndian.PutUint64(chunk[i:], n)
				n++
			}
			if _, err := from.Write(chunk); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	go func() {
		defer close(done)
		for i := range 10_000 / 2 {
			_, err1 := c.Connections(t.Context(), client.Filter{})
			_, err2 := c.Rules(t.Context())
			if err := errors.Join(err1, err2); err != nil {
				t.Errorf("call %d: %v", 2*i, err)
				return
			}
		}
	}()
	for _, conn := range []net.Conn{from, to} {
		conn.SetDeadline(time.Now().Add(30 * patience))
	}
	var n uint64
	for r := bufio.NewReaderSize(to, 1<<20); ; n++ {
		var word [8]byte
		if _, err := io.ReadFull(r, word[:]); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if got := binary.BigEndian.Uint64(word[:]); got != n {
			t.Fatalf("word %d of the stream is %d", n, got)
		}
	}
	if want := <-sent; n != want {
		t.Errorf("%d words arrived of %d", n, want)
	}
	t.Logf("%d MB passed meanwhile", n*8/1e6)
}

// A lease that lapses gives back the connection that its rule had cut; the wait for the
// firing ends at once.
func TestLeaseLapsesBetweenKernels(t *testing.T) {
	a, b, c := newLab(t, noRules)
	from, to := connect(t, a, b)
	if _, err := c.NewLease(t.Context(), client.LeaseRequest{
		TTL:   client.Duration(2 * time.Second),
		Rules: "[[rule]]\nname = \"cut\"\nmatch = { port = 8080, segment = \"data\" }\naction = { blackhole = \"client\" }\n",
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if w, err := c.Wait(t.Context(), client.Condition{Rule: "cut"}); err != nil || !w.Met {
		t.Fatalf("%+v, %v", w, err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, []byte("hello")) {
		t.Errorf("%q, %v", got, err)
	}
	if leases, err := c.Leases(t.Context()); err != nil || len(leases) != 0 {
		t.Errorf("%+v, %v", leases, err)
	}
}

// States are the kernels', and a reset by hand is one that the kernel takes.
func TestWatchAndReset(t *testing.T) {
	a, b, c := newLab(t, noRules)
	from, to := connect(t, a, b)
	if err := from.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	closed := client.Condition{Filter: client.Filter{ClientState: "FIN_WAIT_2", ServerState: "CLOSE_WAIT"}}
	if w, err := c.Wait(t.Context(), closed); err != nil || !w.Met {
		t.Fatalf("%+v, %v", w, err)
	}
	conns, err := c.Connections(t.Context(), closed.Filter)
	if err != nil || len(conns) != 1 {
		t.Fatalf("%+v, %v", conns, err)
	}
	if _, err := c.Act(t.Context(), conns[0].Conn, client.Reset("both")); err != nil {
		t.Fatal(err)
	}
	if n, err := from.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read %d, %v; want a reset", n, err)
	}
	if _, err := to.Write([]byte("x")); err == nil {
		t.Error("the server could write")
	}
}
