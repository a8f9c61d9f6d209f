package toxiproxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	toxi "github.com/Shopify/toxiproxy/v2/client"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/control"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// What toxics do between two kernels. The way in is the shortest that there is: clients
// connect to the server's own address, and the box is on the route.
//
//	namespace A                                   namespace B
//	10.77.1.1/32 ─ tun ══ engine.Engine ══ tun ─ 10.77.2.1/32
//	                            │
//	                       Server ◄─ Toxiproxy's client

// directWays are ways in that are the route itself.
type directWays struct{}

func (directWays) Prepare(_ context.Context, listen, _ string) (func(string) (Way, error), error) {
	server, err := netip.ParseAddrPort(listen)
	return func(string) (Way, error) { return Way{Listen: listen, Server: server}, nil }, err
}

func (directWays) Remove(string) error { return nil }

// A bench is the picture above, with a proxy in front of a listener.
type bench struct {
	t        *testing.T
	a, b     *nstest.End
	eng      *engine.Engine
	proxy    *toxi.Proxy
	listener *net.TCPListener
}

const serverAddr = "10.77.2.1:8080"

func newBench(t *testing.T) *bench {
	t.Helper()
	x := &bench{t: t}
	x.a, x.b = nstest.Ends(t)
	var err error
	if x.eng, err = engine.New(engine.Config{Devices: [2]tunnel.Device{x.a.Dev, x.b.Dev}, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.eng.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	web := httptest.NewServer(New(Config{Ways: directWays{}, Box: control.NewBook(x.eng, nil)}))
	t.Cleanup(web.Close)
	if x.proxy, err = toxi.NewClient(web.URL).CreateProxy("it", serverAddr, serverAddr); err != nil {
		t.Fatal(err)
	}
	x.listener = nstest.Listen(t, x.b.NS, serverAddr)
	return x
}

// patience is for a machine with much else to do.
const patience = 20 * time.Second

func (x *bench) dial() (client *net.TCPConn, err error) {
	client, err = nstest.Dial(x.a.NS, netip.MustParseAddrPort(serverAddr))
	if err == nil {
		client.SetDeadline(time.Now().Add(patience))
		x.t.Cleanup(func() { client.Close() })
	}
	return client, err
}

// connect makes a connection.
func (x *bench) connect() (client, server *net.TCPConn) {
	x.t.Helper()
	client, err := x.dial()
	nstest.Must(x.t, err)
	server, err = x.listener.AcceptTCP()
	nstest.Must(x.t, err)
	server.SetDeadline(time.Now().Add(patience))
	x.t.Cleanup(func() { server.Close() })
	return client, server
}

// add adds a toxic.
func (x *bench) add(kind, stream string, attributes toxi.Attributes) {
	x.t.Helper()
	if _, err := x.proxy.AddToxic("toxic", kind, stream, 1, attributes); err != nil {
		x.t.Fatal(err)
	}
}

func (x *bench) remove() {
	x.t.Helper()
	if err := x.proxy.RemoveToxic("toxic"); err != nil {
		x.t.Fatal(err)
	}
}

// passes wants a text to arrive, and tells how long that took.
func (x *bench) passes(from, to net.Conn, text string) time.Duration {
	x.t.Helper()
	start := time.Now()
	written := make(chan error, 1)
	go func() { // what nobody reads may not fit into both buffers
		_, err := from.Write([]byte(text))
		written <- err
	}()
	x.arrives(to, text)
	nstest.Must(x.t, <-written)
	return time.Since(start)
}

func (x *bench) arrives(to net.Conn, text string) {
	x.t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		x.t.Fatalf("%q arrived, want %q: %v", got, text, err)
	}
}

// silent wants nothing to arrive for a moment.
func (x *bench) silent(to net.Conn) {
	x.t.Helper()
	to.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := to.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		x.t.Errorf("%d bytes arrived, %v", n, err)
	}
	to.SetReadDeadline(time.Now().Add(patience))
}

// fails wants a read to fail with an error.
func (x *bench) fails(c net.Conn, want error) {
	x.t.Helper()
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, want) {
		x.t.Errorf("read %d bytes, %v; want %v", n, err, want)
	}
}

// reaches waits until there is a connection with these states.
func (x *bench) reaches(client, server conntrack.State) {
	x.t.Helper()
	var last []engine.ConnView
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		conns, err := x.eng.Conns(func(v *engine.ConnView) bool { return true })
		if err != nil {
			x.t.Fatal(err)
		}
		for _, v := range conns {
			if v.ClientState == client && v.ServerState == server {
				return
			}
		}
		last = conns
	}
	x.t.Errorf("no connection is in %v and %v: %+v", client, server, last)
}

// fires waits until the toxic's rule has fired.
func (x *bench) fires() {
	x.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if r := x.eng.Report(); len(r) == 1 && r[0].Fired > 0 {
			return
		}
	}
	x.t.Error("the toxic has done nothing")
}

// atLeast wants something to have taken so long.
func atLeast(t *testing.T, took, want time.Duration) {
	t.Helper()
	if took < want {
		t.Errorf("it took %v, want at least %v", took, want)
	}
}

const ms = time.Millisecond

// toxicTests are what each toxic does, as a program sees it.
var toxicTests = []struct {
	name string
	test func(*bench)
}{
	{"latency", func(x *bench) {
		c, s := x.connect()
		x.add("latency", "downstream", toxi.Attributes{"latency": 100})
		atLeast(x.t, x.passes(s, c, "pong"), 100*ms)
		x.remove()
		x.add("latency", "upstream", toxi.Attributes{"latency": 100})
		atLeast(x.t, x.passes(c, s, "ping"), 100*ms)
		start := time.Now()
		c.CloseWrite()
		x.fails(s, io.EOF)
		atLeast(x.t, time.Since(start), 100*ms)
	}},
	{"bandwidth", func(x *bench) {
		c, s := x.connect()
		x.add("bandwidth", "upstream", toxi.Attributes{"rate": 200})
		atLeast(x.t, x.passes(c, s, strings.Repeat("x", 100_000)), 450*ms)
	}},
	{"bandwidth of nothing", func(x *bench) {
		c, s := x.connect()
		x.add("bandwidth", "upstream", toxi.Attributes{"rate": 0})
		c.Write([]byte("late"))
		x.silent(s)
		x.remove()
		x.arrives(s, "late")
	}},
	{"slow_close", func(x *bench) {
		c, s := x.connect()
		x.add("slow_close", "downstream", toxi.Attributes{"delay": 200})
		x.passes(s, c, "data is not late")
		start := time.Now()
		s.Close()
		x.fails(c, io.EOF)
		atLeast(x.t, time.Since(start), 200*ms)
	}},
	{"timeout", func(x *bench) {
		c, s := x.connect()
		x.add("timeout", "downstream", toxi.Attributes{"timeout": 1000})
		start := time.Now()
		x.passes(c, s, "ping")
		s.Write([]byte("pong"))
		x.fails(c, syscall.ECONNRESET)
		x.fails(s, syscall.ECONNRESET)
		atLeast(x.t, time.Since(start), 1000*ms)
	}},
	{"timeout, and nobody says anything", func(x *bench) {
		c, s := x.connect()
		x.silent(c) // but the toxic has a time of its own
		start := time.Now()
		x.add("timeout", "downstream", toxi.Attributes{"timeout": 200})
		x.fails(c, syscall.ECONNRESET)
		x.fails(s, syscall.ECONNRESET)
		atLeast(x.t, time.Since(start), 200*ms)
	}},
	{"timeout without end, and it heals", func(x *bench) {
		c, s := x.connect()
		x.add("timeout", "upstream", toxi.Attributes{"timeout": 0})
		c.Write([]byte("ping"))
		x.silent(s)
		x.remove()
		x.arrives(s, "ping")
		x.passes(s, c, "pong")
	}},
	{"reset_peer", func(x *bench) {
		c, s := x.connect()
		x.add("reset_peer", "downstream", toxi.Attributes{})
		x.passes(c, s, "ping")
		s.Write([]byte("pong"))
		x.fails(c, syscall.ECONNRESET)
		x.fails(s, syscall.ECONNRESET)
	}},
	{"reset_peer later", func(x *bench) {
		c, _ := x.connect()
		x.add("reset_peer", "upstream", toxi.Attributes{"timeout": 200})
		start := time.Now()
		c.Write([]byte("ping"))
		x.fails(c, syscall.ECONNRESET)
		atLeast(x.t, time.Since(start), 200*ms)
	}},
	{"slicer", func(x *bench) {
		c, s := x.connect()
		x.add("slicer", "upstream", toxi.Attributes{"average_size": 10, "delay": 10_000})
		text := strings.Repeat("0123456789", 10)
		atLeast(x.t, x.passes(c, s, text), 90*ms)
		atLeast(x.t, x.passes(c, s, text), 90*ms)
	}},
	{"limit_data", func(x *bench) {
		for _, sizes := range [][]int{{1000}, {100}, {60, 40, 1}, {30, 200}, {99, 1}} {
			c, s := x.connect()
			x.add("limit_data", "downstream", toxi.Attributes{"bytes": 100})
			for _, n := range sizes {
				s.Write(bytes.Repeat([]byte("x"), n))
				time.Sleep(2 * ms) // one segment each
			}
			if got, err := io.ReadAll(c); len(got) != 100 || err != nil {
				x.t.Errorf("of %v, %d bytes arrived before the end, want 100; %v", sizes, len(got), err)
			}
			if n, err := s.Read(make([]byte, 1)); err == nil {
				x.t.Errorf("%d bytes came back, want the connection to be over", n)
			}
			x.remove()
		}
	}},
	{"limit_data to nothing", func(x *bench) {
		c, s := x.connect()
		x.add("limit_data", "upstream", toxi.Attributes{"bytes": 0})
		c.Write([]byte("x"))
		x.fails(s, io.EOF)
	}},
	{"packet_loss", func(x *bench) {
		x.add("packet_loss", "downstream", toxi.Attributes{"probability": 0.05})
		c, s := x.connect()
		x.passes(s, c, strings.Repeat("x", 300_000))
	}},
	{"last_ack", func(x *bench) {
		c, s := x.connect()
		x.add("last_ack", "", nil)
		c.Close()
		x.fails(s, io.EOF)
		s.Close()
		x.reaches(conntrack.TimeWait, conntrack.LastAck)
	}},
	{"half_open", func(x *bench) {
		c, s := x.connect()
		x.add("half_open", "downstream", nil)
		s.Write([]byte("to nobody"))
		x.fails(c, syscall.ECONNRESET)
		x.reaches(conntrack.Closed, conntrack.Established)
		x.silent(s)
	}},
	{"slow_connect", func(x *bench) {
		x.add("slow_connect", "", toxi.Attributes{"delay": 100})
		start := time.Now()
		c, s := x.connect()
		atLeast(x.t, time.Since(start), 100*ms)
		x.passes(c, s, "ping")
	}},
	{"refuse", func(x *bench) {
		x.add("refuse", "", nil)
		if _, err := x.dial(); !errors.Is(err, syscall.ECONNREFUSED) {
			x.t.Errorf("dial: %v", err)
		}
	}},
	{"blackhole", func(x *bench) {
		c, s := x.connect()
		x.add("blackhole", "downstream", nil)
		x.passes(c, s, "ping")
		s.Write([]byte("pong"))
		x.silent(c)
		x.remove()
		x.arrives(c, "pong")
	}},
	{"idle_forget", func(x *bench) {
		c, s := x.connect()
		x.add("idle_forget", "", toxi.Attributes{"idle": 50, "reset": true})
		x.fires()
		c.Write([]byte("too late"))
		x.fails(c, syscall.ECONNRESET)
		x.silent(s)
	}},
	{"disabled, enabled", func(x *bench) {
		c, s := x.connect()
		if err := x.proxy.Disable(); err != nil {
			x.t.Fatal(err)
		}
		x.fails(c, syscall.ECONNRESET)
		x.fails(s, syscall.ECONNRESET)
		if _, err := x.dial(); !errors.Is(err, syscall.ECONNREFUSED) {
			x.t.Errorf("dial: %v", err)
		}
		if err := x.proxy.Enable(); err != nil {
			x.t.Fatal(err)
		}
		c, s = x.connect()
		x.passes(c, s, "ping")
	}},
	{"half-close survives", func(x *bench) {
		c, s := x.connect()
		x.add("latency", "downstream", toxi.Attributes{"latency": 10})
		c.CloseWrite()
		x.fails(s, io.EOF)
		x.passes(s, c, "still here")
		x.reaches(conntrack.FinWait2, conntrack.CloseWait)
	}},
}

func TestToxics(t *testing.T) {
	for _, row := range toxicTests {
		t.Run(row.name, func(t *testing.T) { row.test(newBench(t)) })
	}
}
