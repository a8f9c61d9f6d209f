package control_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/tcpmangle/tcpmangle/control"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
)

const (
	near = iota
	far
)

// A rig is an Engine between two fake devices, and a Server on it.
type rig struct {
	*control.Server
	t       testing.TB
	eng     *engine.Engine
	book    *control.Book
	devices [2]*tunneltest.Device
	stop    func()                     // the engine
	files   string                     // what a reload reads,
	load    func() (*rules.Set, error) // and how
	refuses error                      // what calls bring, if it is not nil
	sent    uint64                     // packets
}

// newRig starts an Engine with rules of a file.
func newRig(t testing.TB, files string, workers int) *rig {
	t.Helper()
	a, b := tunneltest.Pair(t, tunneltest.WithQueues(workers))
	set := mustParse(t, files)
	eng, err := engine.New(engine.Config{Devices: [2]tunnel.Device{a, b}, Rules: set, Seed: 7, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, eng: eng, book: control.NewBook(eng, set), devices: [2]*tunneltest.Device{a, b}, files: files}
	r.load = func() (*rules.Set, error) { return rules.Parse("files.toml", r.files) }
	r.Server = control.New(control.Config{
		Engine: eng, Book: r.book, Version: "test",
		Load: func() (*rules.Set, error) { return r.load() },
		Read: func(texts ...rules.Text) (*rules.Set, error) {
			set, err := rules.ParseAll(texts...)
			return set, cmp.Or(err, r.refuses)
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- eng.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		r.stop()
	})
	return r
}

func mustParse(t testing.TB, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("files.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// An answered is what a call has got.
type answered struct {
	*httptest.ResponseRecorder
	t testing.TB
}

// call calls the server and holds its answer against openapi.yaml.
func (r *rig) call(method, path, body string, header ...string) answered {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	r.Handler().ServeHTTP(rec, req)
	holdAgainstSchema(r.t, req, rec)
	return answered{rec, r.t}
}

// want fails the test unless the status is this one.
func (a answered) want(status int) answered {
	a.t.Helper()
	if a.Code != status {
		a.t.Fatalf("status %d, want %d: %s", a.Code, status, a.Body)
	}
	return a
}

// into reads the answer.
func (a answered) into(v any) {
	a.t.Helper()
	dec := json.NewDecoder(bytes.NewReader(a.Body.Bytes()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		a.t.Fatalf("%v in %s", err, a.Body)
	}
}

// is compares the answer with JSON.
func (a answered) is(want string) {
	a.t.Helper()
	if got := strings.TrimSpace(a.Body.String()); got != want {
		a.t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// document is openapi.yaml, and what finds the operation of a call in it.
var document = sync.OnceValues(func() (*openapi3.T, routers.Router) {
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err == nil {
		err = doc.Validate(context.Background())
	}
	if err != nil {
		panic(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	return doc, router
})

func holdAgainstSchema(t testing.TB, req *http.Request, rec *httptest.ResponseRecorder) {
	t.Helper()
	_, router := document()
	route, params, err := router.FindRoute(req)
	if err != nil {
		return // a call that there is not
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 rec.Code, Header: rec.Header(), Body: io.NopCloser(bytes.NewReader(rec.Body.Bytes())),
	}
	if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
		t.Errorf("the answer to %s %s is not as openapi.yaml says: %v", req.Method, req.URL, err)
	}
}

func init() { // what kin-openapi does not know to read
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/yaml", openapi3filter.FileBodyDecoder)
}

// A talk is one connection between two hosts that the test plays.
type talk struct {
	*rig
	ends [2]netip.AddrPort
	next [2]uint32 // sequence numbers
}

// open does a handshake from 10.77.1.1 to 10.77.2.1.
func (r *rig) open(clientPort, serverPort uint16) *talk {
	r.t.Helper()
	t := &talk{rig: r, next: [2]uint32{1000, 5000}, ends: [2]netip.AddrPort{
		netip.AddrPortFrom(netip.MustParseAddr("10.77.1.1"), clientPort),
		netip.AddrPortFrom(netip.MustParseAddr("10.77.2.1"), serverPort),
	}}
	t.send(near, wire.SYN, "")
	r.drain(far, 1)
	t.send(far, wire.SYN|wire.ACK, "")
	r.drain(near, 1)
	t.send(near, wire.ACK, "")
	r.drain(far, 1)
	return t
}

// send lets a host send a segment.
func (t *talk) send(from int, flags wire.Flags, text string) {
	s := wire.Build{
		Src: t.ends[from], Dst: t.ends[1-from], Seq: t.next[from], Ack: t.next[1-from],
		Flags: flags, Window: 65535, Payload: []byte(text),
	}
	if !flags.Has(wire.ACK) {
		s.Ack = 0
	}
	t.next[from] += uint32(len(text))
	if flags.Has(wire.SYN) || flags.Has(wire.FIN) {
		t.next[from]++
	}
	t.put(from, s.Append(nil))
}

// put gives a packet to a device.
func (r *rig) put(side int, packet []byte) {
	if !r.devices[side].Send(tunnel.Header{}, packet) {
		r.t.Fatal("the device takes no more")
	}
	r.sent++
}

// drain wants so many packets to leave at a side, and returns the last.
func (r *rig) drain(side, n int) (last []byte) {
	r.t.Helper()
	for range n {
		_, data, err := r.devices[side].Receive(5 * time.Second)
		if err != nil {
			r.t.Fatalf("side %d: %v", side, err)
		}
		last = data
	}
	return last
}

// dry wants no more to have left at a side, once all that came in is dealt with.
func (r *rig) dry(side int) {
	r.t.Helper()
	for read := uint64(0); read < r.sent; {
		s := r.eng.Stats()
		read = s.Packets[near] + s.Packets[far]
	}
	if n := r.devices[side].Pending(); n > 0 {
		r.t.Errorf("%d packets have left at side %d, want none", n, side)
	}
}

const (
	noRules = ""
	dropFin = "[[rule]]\nname = \"drop-fin\"\nmatch = { port = 80, segment = \"fin\" }\naction = \"drop\"\n"
	holdAll = "[[rule]]\nname = \"keep\"\nmatch = { port = 80, segment = \"data\" }\naction = { hold = \"release\" }\n"
)

func quote(text string) string { return fmt.Sprintf("%q", text) }

func addr(ip string, port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(port))
}
