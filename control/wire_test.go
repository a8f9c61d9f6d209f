package control_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// A pipes is a listener whose connections are pipes, so that virtual time holds for them.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// wired serves a rig on pipes; dial gives one.
func (r *rig) wired() (dial func() net.Conn) {
	p := &pipes{make(chan net.Conn), make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- r.Serve(p) }()
	r.t.Cleanup(func() {
		r.Close()
		if err := <-done; err != nil {
			r.t.Errorf("Serve: %v", err)
		}
	})
	return func() net.Conn {
		ours, theirs := net.Pipe()
		r.t.Cleanup(func() { ours.Close() })
		p.conns <- theirs
		return ours
	}
}

// A caller is one connection on which a test speaks HTTP by itself.
type caller struct {
	net.Conn
	in *bufio.Reader
	t  *testing.T
}

// says sends a request as it stands, and returns the head of the answer and its body.
func (c *caller) says(request string) (resp *http.Response, body string) {
	c.t.Helper()
	go io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n"))
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("%q: %v", request, err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%q: %v", request, err)
	}
	return resp, strings.TrimSpace(string(text))
}

// One connection serves call after call, also when the ones before were refused.
func TestOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dropFin, 1)
		dial := r.wired()
		c := &caller{t: t}
		c.Conn = dial()
		c.in = bufio.NewReader(c)
		for _, row := range []struct {
			name, request string
			status        int
			want          string
		}{
			{"bad JSON", "POST /v1/wait HTTP/1.1\nHost: x\nContent-Length: 3\n\n{]}", 400, `{"error":"bad JSON: invalid character ']' looking for beginning of object key string","status":400}`},
			{"text of any type", "POST /v1/wait HTTP/1.1\nHost: x\nContent-Type: image/png\nContent-Length: 2\n\n{}", 400, `{"error":"the condition says nothing; it needs rule, or connections and what selects them","status":400}`},
			{"compressed", "POST /v1/wait HTTP/1.1\nHost: x\nContent-Encoding: gzip\nContent-Length: 2\n\n{}", 415, `{"error":"bodies of calls are not encoded; this one is in gzip","status":415}`},
			{"in chunks", "POST /v1/wait HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n5\n{\"rul\n7\ne\":\"x\"}\n0\n\n", 404, `{"error":"there is no rule \"x\"","status":404}`},
			{"no such method", "BREW /v1/rules HTTP/1.1\nHost: x\n\n", 405, `{"error":"/v1/rules does not do BREW, but GET, PUT","status":405}`},
			{"HEAD", "HEAD /healthz HTTP/1.1\nHost: x\n\n", 200, ""},
			{"HEAD of nothing", "HEAD /v1/nothing HTTP/1.1\nHost: x\n\n", 404, ""},
			{"HEAD of a stream", "HEAD /v1/events HTTP/1.1\nHost: x\n\n", 200, ""},
			{"still there", "GET /healthz HTTP/1.1\nHost: x\n\n", 200, `{"status":"ok"}`},
			{"HTTP/1.0 that goes on", "GET /healthz HTTP/1.0\nConnection: keep-alive\n\n", 200, `{"status":"ok"}`},
			{"HTTP/1.0", "GET /healthz HTTP/1.0\n\n", 200, `{"status":"ok"}`},
		} {
			resp, got := c.says(row.request)
			if resp.StatusCode != row.status || got != row.want {
				t.Errorf("%s: got %d %s, want %d %s", row.name, resp.StatusCode, got, row.status, row.want)
			}
			if kind := resp.Header.Get("Content-Type"); kind != "application/json" && row.name != "HEAD of a stream" {
				t.Errorf("%s: Content-Type %s", row.name, kind)
			}
		}
		if n, err := c.in.ReadByte(); err != io.EOF {
			t.Errorf("after HTTP/1.0 there is %q, %v; want the end", n, err)
		}
	})
}

// A body beyond all bounds is refused, and its connection closed.
func TestHugeBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dropFin, 1)
		c := &caller{t: t, Conn: r.wired()()}
		c.in = bufio.NewReader(c)
		const size = 5 << 20
		resp, got := c.says(fmt.Sprintf("PUT /v1/rules HTTP/1.1\nHost: x\nContent-Length: %d\n\n%s", size, strings.Repeat("#", size)))
		if resp.StatusCode != 413 || got != `{"error":"a body has 4194304 bytes at most","status":413}` || !resp.Close {
			t.Errorf("%d %s, closes %v", resp.StatusCode, got, resp.Close)
		}
	})
}

// Streams work without chunks, too: by HTTP/1.0 lines come until the connection ends.
func TestEventsByHTTP10(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dropFin, 1)
		c := r.wired()()
		go io.WriteString(c, "GET /v1/events?type=open HTTP/1.0\r\n\r\n")
		in := bufio.NewReader(c)
		for line, err := in.ReadString('\n'); line != "\r\n"; line, err = in.ReadString('\n') {
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		r.open(4000, 80)
		if line, err := in.ReadString('\n'); !strings.HasPrefix(line, `{"t":0.000000,"type":"open","conn":1,`) || err != nil {
			t.Errorf("%q, %v", line, err)
		}
		closed := make(chan error)
		go func() { closed <- r.Close() }()
		if _, err := in.ReadString('\n'); err != io.EOF {
			t.Errorf("%v, want the end", err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// Readers that go, or that take nothing for half a minute, leave nothing behind; nor do those who
// wait and go.
func TestWhoGoes(t *testing.T) {
	for _, row := range []struct {
		name, request string
		goes          func(net.Conn)
		within        time.Duration
		there         int // before
	}{
		{"in the midst of a stream", "GET /v1/events?all=true HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n", func(c net.Conn) { c.Close() }, 0, 1},
		{"never reads", "GET /v1/events?all=true HTTP/1.1\r\nHost: x\r\n\r\n", func(net.Conn) {}, 31 * time.Second, 1},
		{"in the midst of a wait", "POST /v1/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 35\r\n\r\n{\"rule\":\"drop-fin\",\"within\":\"600s\"}", func(c net.Conn) { c.Close() }, 0, 1},
		{"in the midst of a body", "POST /v1/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 3400\r\n\r\n{\"rule\":", func(c net.Conn) { c.Close() }, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, dropFin, 1)
				c := r.wired()()
				io.WriteString(c, row.request)
				if strings.HasPrefix(row.request, "GET") {
					head := bufio.NewReaderSize(c, 16)
					for line, _ := head.ReadString('\n'); line != "\r\n"; line, _ = head.ReadString('\n') {
					}
				}
				synctest.Wait()
				if n := r.Listeners() + r.Waits(); n != row.there {
					t.Fatalf("%d listen or wait, want %d", n, row.there)
				}
				talk := r.open(4000, 80)
				talk.send(near, wire.ACK, "x")
				r.drain(far, 1)
				row.goes(c)
				time.Sleep(row.within)
				synctest.Wait()
				if r.Listeners() != 0 || r.Waits() != 0 {
					t.Errorf("%d listen and %d wait still", r.Listeners(), r.Waits())
				}
			})
		})
	}
}

// Whoever is there does not hold up the end: who asks nothing, who waits, who takes nothing of what he has asked for.
func TestClosesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dropFin, 1)
		dial := r.wired()
		dial()
		waiting := dial()
		io.WriteString(waiting, "POST /v1/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 35\r\n\r\n{\"rule\":\"drop-fin\",\"within\":\"600s\"}")
		go io.Copy(io.Discard, waiting)
		stalled := dial()
		io.WriteString(stalled, "GET /v1/events?all=true HTTP/1.1\r\nHost: x\r\n\r\n")
		head := bufio.NewReaderSize(stalled, 16)
		for line, _ := head.ReadString('\n'); line != "\r\n"; line, _ = head.ReadString('\n') {
		}
		synctest.Wait()
		r.open(4000, 80)
		synctest.Wait()
		began := time.Now()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 900*time.Millisecond {
			t.Errorf("it took %v to close", took)
		}
	})
}

// Calls to an engine that has stopped are answered, and leave nobody listening.
func TestStoppedEngine(t *testing.T) {
	r := newRig(t, dropFin, 1)
	r.stop()
	for _, c := range [][3]string{
		{"GET", "/v1/events", ""}, {"POST", "/v1/wait", `{"rule":"drop-fin"}`}, {"GET", "/v1/connections", ""},
		{"GET", "/healthz", ""}, {"POST", "/v1/heal", ""}, {"POST", "/v1/leases", `{"rules":"[[rule]]\naction = \"drop\""}`},
	} {
		r.call(c[0], c[1], c[2]).want(503).is(`{"error":"the engine has stopped","status":503}`)
	}
	if r.Listeners() != 0 || r.Waits() != 0 {
		t.Errorf("%d listen and %d wait", r.Listeners(), r.Waits())
	}
}
