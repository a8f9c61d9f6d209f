package toxiproxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

var _ = engine.ByHand // the actions are registered

// fakeWays makes ways in that are none.
type fakeWays struct {
	open []string
	next uint16
	fail error
}

func (w *fakeWays) Prepare(ctx context.Context, listen, upstream string) (func(string) (Way, error), error) {
	if upstream == "slow:1" {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return func(name string) (Way, error) { return w.add(name, listen, upstream) }, nil
}

func (w *fakeWays) add(name, listen, upstream string) (Way, error) {
	if w.fail != nil {
		return Way{}, w.fail
	}
	w.open = append(w.open, name+" "+upstream)
	w.next++
	server := netip.AddrPortFrom(netip.MustParseAddr("198.18.0.1"), 1000+w.next)
	if listen == "" || strings.HasSuffix(listen, ":0") {
		listen = fmt.Sprintf("127.0.0.1:%d", 20000+w.next)
	}
	return Way{Listen: listen, Server: server}, nil
}

func (w *fakeWays) Remove(name string) error {
	w.open = slices.DeleteFunc(w.open, func(s string) bool { return strings.HasPrefix(s, name+" ") })
	return nil
}

// fakeBox notes what it is told.
type fakeBox struct {
	set  *rules.Set
	cuts []netip.AddrPort
	fail error
}

func (b *fakeBox) Put(_ string, set *rules.Set) error {
	if b.fail == nil {
		b.set = set
	}
	return b.fail
}

func (b *fakeBox) Cut(server netip.AddrPort) error {
	b.cuts = append(b.cuts, server)
	return nil
}

// names lists the rules in force.
func (b *fakeBox) names() (names []string) {
	for _, r := range b.set.Rules {
		names = append(names, r.Name)
	}
	return names
}

type rig struct {
	*Server
	t    *testing.T
	ways *fakeWays
	box  *fakeBox
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, ways: &fakeWays{}, box: &fakeBox{}}
	r.Server = New(Config{Ways: r.ways, Box: r.box})
	return r
}

// call makes a call, "POST /proxies", and wants a status and a body.
func (r *rig) call(call, body string, status int, want string) {
	r.t.Helper()
	method, path, _ := strings.Cut(call, " ")
	rec := httptest.NewRecorder()
	r.ServeHTTP(rec, httptest.NewRequestWithContext(r.t.Context(), method, path, strings.NewReader(body)))
	if got := strings.TrimSpace(rec.Body.String()); rec.Code != status || got != want {
		r.t.Errorf("%s %s\ngot  %d %s\nwant %d %s", call, body, rec.Code, got, status, want)
	}
}

const (
	redis       = `{"name":"redis","listen":"127.0.0.1:20001","upstream":"127.0.0.1:6379","enabled":true,"toxics":[%s]}`
	latencyDown = `{"attributes":{"latency":10,"jitter":0},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1}`
	latencyUp   = `{"attributes":{"latency":0,"jitter":5},"name":"y","type":"latency","stream":"Upstream","toxicity":0.3}`
)

// A conversation with the server of Toxiproxy 2.12, as it was recorded there, without
// its key "Logger" and with other ports. What differs on purpose has a comment.
func TestConversation(t *testing.T) {
	r := newRig(t)
	fail := func(call, body string, status int, message string) {
		t.Helper()
		r.call(call, body, status, fmt.Sprintf(`{"error":%q,"status":%d}`, message, status))
	}
	r.call("GET /version", "", 200, `{"version": "2.12.0"}`)
	r.call("GET /proxies", "", 200, `{}`)
	r.call("POST /proxies", `{"name":"redis","listen":"127.0.0.1:0","upstream":"127.0.0.1:6379"}`, 201, fmt.Sprintf(redis, ""))
	r.call("GET /proxies", "", 200, `{"redis":`+fmt.Sprintf(redis, "")+`}`)
	fail("POST /proxies", `{"name":"redis","upstream":"x:1"}`, 409, "proxy already exists")
	fail("POST /proxies", `{"upstream":"x:1"}`, 400, "missing required field: name")
	fail("POST /proxies", `{"name":"x"}`, 400, "missing required field: upstream")
	fail("POST /proxies", ``, 400, "bad request body: EOF")
	fail("POST /proxies", `{"name":1}`, 400, "bad request body: json: cannot unmarshal number into Go struct field proxyInput.name of type string")

	r.call("POST /proxies/redis/toxics", `{"type":"latency","attributes":{"latency":10}}`, 200, latencyDown)
	fail("POST /proxies/redis/toxics", `{"type":"latency"}`, 409, "toxic already exists")
	fail("POST /proxies/redis/toxics", `{"type":"nope"}`, 400, "invalid toxic type")
	fail("POST /proxies/redis/toxics", `{}`, 400, "invalid toxic type")
	fail("POST /proxies/redis/toxics", `{"type":"latency","name":"x","stream":"sideways"}`, 400, "stream was invalid, can be either upstream or downstream")
	fail("POST /proxies/redis/toxics", `{"type":"latency","name":"x","attributes":{"latency":1.5}}`, 400, "bad request body: json: cannot unmarshal number 1.5 into Go struct field latency.latency of type int64")
	r.call("POST /proxies/redis/toxics", `{"type":"latency","name":"y","stream":"Upstream","toxicity":0.3}`, 200, strings.Replace(latencyUp, "5", "0", 1))
	r.call("POST /proxies/redis/toxics/y", `{"attributes":{"jitter":5}}`, 200, latencyUp)
	r.call("PATCH /proxies/redis/toxics/y", `{"toxicity":0.7}`, 200, strings.Replace(latencyUp, "0.3", "0.7", 1))
	r.call("PATCH /proxies/redis/toxics/y", `{"toxicity":0.3,"attributes":{}}`, 200, latencyUp)
	r.call("GET /proxies/redis/toxics", "", 200, "["+latencyUp+","+latencyDown+"]")
	r.call("GET /proxies/redis", "", 200, fmt.Sprintf(redis, latencyUp+","+latencyDown))
	r.call("GET /proxies/redis/toxics/y", "", 200, latencyUp)
	fail("GET /proxies/redis/toxics/none", "", 404, "toxic not found")
	r.call("DELETE /proxies/redis/toxics/y", "", 204, "")
	fail("DELETE /proxies/redis/toxics/y", "", 404, "toxic not found")

	disabled := strings.Replace(fmt.Sprintf(redis, latencyDown), `"enabled":true`, `"enabled":false`, 1)
	r.call("POST /proxies/redis", `{"enabled":false}`, 200, disabled)
	fail("PATCH /proxies/redis", `{"enabled":true,"listen":"garbage"}`, 500, "address garbage: missing port in address")
	r.call("GET /proxies/redis", "", 200, disabled)
	fail("GET /proxies/none", "", 404, "proxy not found")
	fail("POST /proxies/none/toxics", "{}", 404, "proxy not found")
	r.call("POST /reset", "", 204, "")
	r.call("GET /proxies/redis", "", 200, fmt.Sprintf(redis, ""))

	r.call("POST /populate", `[{"name":"a","listen":"127.0.0.1:0","upstream":"b:1"},{"name":"b","listen":"127.0.0.1:0","upstream":"b:1","enabled":false}]`, 201,
		`{"proxies":[{"name":"a","listen":"127.0.0.1:20002","upstream":"b:1","enabled":true,"toxics":[]},{"name":"b","listen":"127.0.0.1:0","upstream":"b:1","enabled":false,"toxics":[]}]}`)
	r.call("POST /populate", `[{"name":"a"}]`, 400, `{"error":"missing required field: upstream at proxy 1","status":400,"proxies":null}`)
	r.call("POST /populate", `{}`, 400, `{"error":"bad request body: json: cannot unmarshal object into Go value of type []toxiproxy.proxyInput","status":400,"proxies":null}`)
	r.call("GET /nothing", "", 404, "404 page not found")
	r.call("DELETE /proxies", "", 405, "Method Not Allowed")
	r.call("DELETE /proxies/a", "", 204, "")
	r.call("POST /proxies", `{"name":"off","enabled":false,"listen":"localhost:0","upstream":"x:1"}`, 201,
		`{"name":"off","listen":"localhost:0","upstream":"x:1","enabled":false,"toxics":[]}`)

	// Toxiproxy takes these and does nothing, or something else.
	fail("POST /proxies/redis/toxics", `{"type":"latency","name":"z","attributes":{"latancy":1}}`, 400, `bad request body: a latency toxic has no attribute "latancy"; it has latency, jitter`)
	fail("POST /proxies/redis/toxics", `{"type":"latency","name":"z","attributes":{"latency":-1}}`, 400, "bad request body: latency must not be negative")
	fail("POST /proxies/redis/toxics", `{"type":"latency","name":"z","toxicity":7}`, 400, "bad request body: toxicity 7 is not between 0 and 1")
	fail("POST /proxies/redis/toxics", `{"type":"last_ack","attributes":{"x":1}}`, 400, `bad request body: a last_ack toxic has no attribute "x"; it has none`)
	fail("POST /proxies/redis/toxics", `{"type":"idle_forget"}`, 400, "bad request body: idle must be more than 0")
	fail("POST /proxies/redis/toxics", `{"type":"packet_loss","attributes":{"probability":1.1}}`, 400, "bad request body: probability must be between 0 and 1")
	if r.box.set != nil && len(r.box.set.Rules) != 0 {
		t.Errorf("%v are in force", r.box.names())
	}
}

// Browsers may not call: neither by their name nor from another page.
func TestBrowsers(t *testing.T) {
	r := newRig(t)
	for key, value := range map[string]string{"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "cross-site"} {
		rec := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/reset", nil)
		req.Header.Set(key, value)
		r.ServeHTTP(rec, req)
		if rec.Code != http.StatusForbidden {
			t.Errorf("%s: %d", key, rec.Code)
		}
	}
}

// Ways in come and go with proxies, and connections are cut where Toxiproxy closes them.
func TestWays(t *testing.T) {
	r := newRig(t)
	want := func(open string, cuts int, rules ...string) {
		t.Helper()
		if got := strings.Join(r.ways.open, ", "); got != open || len(r.box.cuts) != cuts || !slices.Equal(r.box.names(), rules) {
			t.Errorf("open %q, %d cuts, rules %v; want %q, %d, %v", got, len(r.box.cuts), r.box.names(), open, cuts, rules)
		}
	}
	do := func(call, body string) {
		t.Helper()
		rec := httptest.NewRecorder()
		method, path, _ := strings.Cut(call, " ")
		r.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
		if rec.Code >= 300 {
			t.Errorf("%s %s: %d %s", call, body, rec.Code, rec.Body)
		}
	}
	do("POST /proxies", `{"name":"a","upstream":"u:1","enabled":false}`)
	want("", 0)
	do("PATCH /proxies/a", `{"enabled":true}`)
	want("a u:1", 0)
	do("POST /proxies/a/toxics", `{"type":"timeout"}`)
	want("a u:1", 0, "a.timeout_downstream")
	do("PATCH /proxies/a", `{"enabled":false}`)
	want("a u:1", 1, "a.disabled")
	do("PATCH /proxies/a", `{"enabled":true}`)
	want("a u:1", 1, "a.timeout_downstream")
	do("PATCH /proxies/a", `{"enabled":true}`)
	want("a u:1", 1, "a.timeout_downstream")
	do("PATCH /proxies/a", `{"upstream":"u:2"}`)
	want("a u:2", 2, "a.timeout_downstream")
	do("POST /populate", `[{"name":"a","upstream":"u:3"},{"name":"b","upstream":"u:4"}]`)
	want("a u:3, b u:4", 3)
	do("POST /populate", `[{"name":"b","listen":"127.0.0.1:20004","upstream":"u:4"}]`)
	want("a u:3, b u:4", 3)
	do("DELETE /proxies/b", "")
	want("a u:3", 4)
	do("PATCH /proxies/a", `{"enabled":false}`)
	want("a u:3", 5, "a.disabled")
	do("PATCH /proxies/a", `{"upstream":"u:5"}`)
	want("", 5)
	do("PATCH /proxies/a", `{"enabled":true}`)
	want("a u:5", 5)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	want("", 6)
}

// What the box or a way refuses leaves everything as it was.
func TestRefusals(t *testing.T) {
	r := newRig(t)
	r.ways.fail = errors.New("no such port")
	r.call("POST /proxies", `{"name":"a","upstream":"u:1"}`, 500, `{"error":"no such port","status":500}`)
	r.ways.fail, r.box.fail = nil, errors.New("not now")
	r.call("POST /proxies", `{"name":"a","upstream":"u:1"}`, 500, `{"error":"not now","status":500}`)
	r.call("GET /proxies", "", 200, "{}")
	r.call("POST /populate", `[{"name":"a","upstream":"u:1"}]`, 500, `{"error":"not now","status":500,"proxies":null}`)
	if len(r.ways.open) != 0 {
		t.Errorf("open: %v", r.ways.open)
	}
	r.box.fail = nil
	const a = `{"name":"a","listen":"127.0.0.1:20003","upstream":"u:1","enabled":true,"toxics":[]}`
	r.call("POST /proxies", `{"name":"a","upstream":"u:1"}`, 201, a)
	r.box.fail = errors.New("not now")
	r.call("POST /proxies/a/toxics", `{"type":"timeout"}`, 500, `{"error":"not now","status":500}`)
	r.call("PATCH /proxies/a", `{"enabled":false}`, 500, `{"error":"not now","status":500}`)
	r.call("GET /proxies/a", "", 200, a)

	const off = `{"name":"off","listen":"127.0.0.1:9","upstream":"u:1","enabled":false,"toxics":[]}`
	r.call("POST /proxies", off, 201, off)
	r.call("PATCH /proxies/off", `{"enabled":true}`, 500, `{"error":"not now","status":500}`)
	if want := []string{"a u:1"}; !slices.Equal(r.ways.open, want) {
		t.Errorf("open: %v, want %v", r.ways.open, want)
	}
}

// The layer is there from the beginning, so that no lease takes its name.
func TestLayerIsTaken(t *testing.T) {
	if r := newRig(t); r.box.set == nil || len(r.box.set.Rules) != 0 {
		t.Errorf("the layer has %+v", r.box.set)
	}
}

// A proxy that populate cannot replace stays, with its toxics, but disabled, as at their server.
func TestPopulateRefused(t *testing.T) {
	r := newRig(t)
	const a = `{"name":"a","listen":"127.0.0.1:20001","upstream":"u:1","enabled":true,"toxics":[%s]}`
	r.call("POST /populate", `[{"name":"a","upstream":"u:1"}]`, 201, `{"proxies":[`+fmt.Sprintf(a, "")+`]}`)
	r.call("POST /proxies/a/toxics", `{"type":"latency","attributes":{"latency":10}}`, 200, latencyDown)
	r.ways.fail = errors.New("no such port")
	r.call("POST /populate", `[{"name":"a","upstream":"u:2"}]`, 500, `{"error":"no such port","status":500,"proxies":null}`)
	r.call("GET /proxies/a", "", 200, strings.Replace(fmt.Sprintf(a, latencyDown), "true", "false", 1))
	if len(r.ways.open) != 0 || len(r.box.names()) != 0 {
		t.Errorf("open: %v, rules: %v", r.ways.open, r.box.names())
	}
}

// Answers end as those of their server do: errors with a newline, others without.
func TestEndOfAnswers(t *testing.T) {
	r := newRig(t)
	for call, newline := range map[string]bool{"GET /proxies": false, "GET /proxies/none": true, "POST /populate": false, "GET /version": true} {
		method, path, _ := strings.Cut(call, " ")
		rec := httptest.NewRecorder()
		r.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader("[]")))
		if got := strings.HasSuffix(rec.Body.String(), "\n"); got != newline {
			t.Errorf("%s: ends with a newline: %v, want %v", call, got, newline)
		}
	}
}

// A name server that does not answer holds up who needs it, for as long as he waits, and nobody else.
func TestSlowNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.call("POST /proxies", `{"name":"redis","listen":"127.0.0.1:0","upstream":"127.0.0.1:6379"}`, 201, fmt.Sprintf(redis, ""))
		ctx, goes := context.WithCancel(t.Context())
		answers := make(chan *httptest.ResponseRecorder)
		for _, c := range []struct{ path, body string }{
			{"/proxies", `{"name":"slow","listen":"127.0.0.1:0","upstream":"slow:1"}`},
			{"/populate", `[{"name":"slow","listen":"127.0.0.1:0","upstream":"slow:1"}]`},
			{"/proxies/redis", `{"upstream":"slow:1"}`},
		} {
			go func() {
				rec := httptest.NewRecorder()
				r.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "POST", c.path, strings.NewReader(c.body)))
				answers <- rec
			}()
		}
		synctest.Wait()
		r.call("POST /proxies/redis/toxics", `{"type":"latency","attributes":{"latency":10}}`, 200, latencyDown)
		r.call("POST /proxies", `{"name":"off","enabled":false,"listen":"127.0.0.1:0","upstream":"x:1"}`, 201,
			`{"name":"off","listen":"127.0.0.1:0","upstream":"x:1","enabled":false,"toxics":[]}`)
		goes()
		for range 3 {
			if rec := <-answers; rec.Code != 500 || !strings.Contains(rec.Body.String(), "context canceled") {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		}
		r.call("GET /proxies/redis", "", 200, fmt.Sprintf(redis, latencyDown)) // as it was
		r.call("POST /proxies", `{"name":"off2","enabled":false,"listen":"","upstream":"slow:1"}`, 201,
			`{"name":"off2","listen":"","upstream":"slow:1","enabled":false,"toxics":[]}`)
		r.call("POST /proxies/off2", `{"enabled":false,"listen":"","upstream":"slow:1"}`, 200,
			`{"name":"off2","listen":"","upstream":"slow:1","enabled":false,"toxics":[]}`)
		r.call("GET /proxies/slow", "", 404, `{"error":"proxy not found","status":404}`)
	})
}
