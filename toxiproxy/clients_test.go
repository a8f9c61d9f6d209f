package toxiproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The calls that clients in other languages make, in the shape in which they make them. A call
// without a body of its own in the answer wants any.
var clientCalls = []struct {
	client string
	calls  []clientCall
}{
	{"Ruby", []clientCall{
		{"POST /populate", `[{"name":"a","listen":"127.0.0.1:0","upstream":"u:1"}]`, 201, ""},
		{"POST /proxies", `{"upstream":"u:1","name":"b","listen":"localhost:0","enabled":null}`, 201, `{"name":"b","listen":"127.0.0.1:20002","upstream":"u:1","enabled":true,"toxics":[]}`},
		{"GET /proxies", "", 200, ""},
		{"POST /proxies/b/toxics", `{"name":"slow","type":"latency","stream":"upstream","toxicity":1.0,"attributes":{"latency":1000}}`, 200, `{"attributes":{"latency":1000,"jitter":0},"name":"slow","type":"latency","stream":"upstream","toxicity":1}`},
		{"DELETE /proxies/b/toxics/slow", "", 204, ""},
		{"POST /proxies/b", `{"enabled":false}`, 200, `{"name":"b","listen":"127.0.0.1:20002","upstream":"u:1","enabled":false,"toxics":[]}`},
		{"POST /proxies/b", `{"enabled":null}`, 200, `{"name":"b","listen":"127.0.0.1:20002","upstream":"u:1","enabled":false,"toxics":[]}`},
		{"POST /reset", "", 204, ""},
		{"DELETE /proxies/b", "", 204, ""},
	}},
	{"Node", []clientCall{
		{"POST /proxies", `{"listen":"127.0.0.1:0","name":"a","upstream":"u:1"}`, 201, ""},
		{"POST /proxies/a", `{"enabled":true,"listen":"127.0.0.1:20001","upstream":"u:1"}`, 200, ""},
		{"POST /proxies/a/toxics", `{"attributes":{"jitter":0,"latency":10},"name":"t","stream":"downstream","toxicity":1,"type":"latency"}`, 200, ""},
		{"GET /proxies/a/toxics", "", 200, `[{"attributes":{"latency":10,"jitter":0},"name":"t","type":"latency","stream":"downstream","toxicity":1}]`},
		{"POST /proxies/a/toxics/t", `{"attributes":{"latency":20},"name":"t","stream":"downstream","toxicity":1,"type":"latency"}`, 200, ""},
	}},
	{"Python", []clientCall{
		{"POST /proxies", `{"name": "a", "upstream": "u:1", "listen": "127.0.0.1:0", "enabled": true}`, 201, ""},
		{"POST /proxies/a/toxics", `{"name": "slicer_upstream", "type": "slicer", "stream": "upstream", "toxicity": 0.5, "attributes": {"average_size": 10}}`, 200, ""},
		{"POST /proxies/a", `{"enabled": false}`, 200, ""},
		{"DELETE /proxies/a/toxics/slicer_upstream", "", 204, ""},
	}},
	{"Java", []clientCall{
		{"POST /proxies", `{"name":"a","listen":"127.0.0.1:0","upstream":"u:1"}`, 201, ""},
		{"POST /proxies/a/toxics", `{"name":"t","stream":"DOWNSTREAM","type":"bandwidth","attributes":{"rate":0},"toxicity":1.0}`, 200, `{"attributes":{"rate":0},"name":"t","type":"bandwidth","stream":"DOWNSTREAM","toxicity":1}`},
		{"POST /proxies/a/toxics/t", `{"attributes":{"rate":5}}`, 200, `{"attributes":{"rate":5},"name":"t","type":"bandwidth","stream":"DOWNSTREAM","toxicity":1}`},
		{"POST /proxies/a/toxics/t", `{"toxicity":0.5}`, 200, `{"attributes":{"rate":5},"name":"t","type":"bandwidth","stream":"DOWNSTREAM","toxicity":0.5}`},
		{"POST /proxies/a", `{"upstream":"u:2"}`, 200, ""},
	}},
	{".NET", []clientCall{
		{"POST /proxies", `{"name":"a","listen":"127.0.0.1:0","upstream":"u:1","enabled":true}`, 201, ""},
		{"POST /proxies/a/toxics", `{"attributes":{"Latency":7,"Jitter":0},"name":"t","type":"latency","stream":"downstream","toxicity":1.0}`, 200, `{"attributes":{"latency":7,"jitter":0},"name":"t","type":"latency","stream":"downstream","toxicity":1}`},
	}},
	{"Rust", []clientCall{
		{"POST /populate", `[{"name":"a","listen":"127.0.0.1:0","upstream":"u:1","enabled":true,"toxics":[]}]`, 201, `{"proxies":[{"name":"a","listen":"127.0.0.1:20001","upstream":"u:1","enabled":true,"toxics":[]}]}`},
		{"POST /proxies/a/toxics", `{"name":"limit_data_downstream","type":"limit_data","stream":"downstream","toxicity":1.0,"attributes":{"bytes":512}}`, 200, ""},
		{"GET /version", "", 200, `{"version": "2.12.0"}`},
	}},
	{"a shell", []clientCall{ // curl -d
		{"POST /proxies", `{"name":"a b/c","listen":"127.0.0.1:0","upstream":"u:1"}`, 201, ""},
		{"GET /proxies/a%20b%2Fc", "", 200, `{"name":"a b/c","listen":"127.0.0.1:20001","upstream":"u:1","enabled":true,"toxics":[]}`},
		{"POST /proxies/a%20b%2Fc/toxics", `{"type":"noop"} and more`, 200, `{"attributes":{},"name":"noop_downstream","type":"noop","stream":"downstream","toxicity":1}`},
		{"POST /proxies/a%20b%2Fc/toxics", `null`, 400, `{"error":"invalid toxic type","status":400}`},
		{"POST /proxies/a%20b%2Fc/toxics", `{"type":"latency","toxicity":null,"attributes":null}`, 200, `{"attributes":{"latency":0,"jitter":0},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1}`},
		{"PUT /proxies/a%20b%2Fc", "{}", 405, "Method Not Allowed"},
		{"OPTIONS /proxies", "", 405, "Method Not Allowed"},
		{"GET /proxies/", "", 404, "404 page not found"},
		{"GET /proxies/a%20b%2Fc/", "", 404, "404 page not found"},
	}},
}

type clientCall struct {
	call, body string
	status     int
	want       string
}

func TestOtherClients(t *testing.T) {
	for _, row := range clientCalls {
		t.Run(row.client, func(t *testing.T) {
			r := newRig(t)
			for _, c := range row.calls {
				method, path, _ := strings.Cut(c.call, " ")
				rec := httptest.NewRecorder()
				r.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(c.body)))
				got := strings.TrimSpace(rec.Body.String())
				if rec.Code != c.status || c.want != "" && got != c.want {
					t.Errorf("%s %s\ngot  %d %s\nwant %d %s", c.call, c.body, rec.Code, got, c.status, c.want)
				}
				if rec.Header().Get("X-Toxiproxy-Request-Id") == "" {
					t.Errorf("%s: the answer has no id", c.call)
				}
			}
		})
	}
}

// Who sends half a call and waits, or goes, holds up nobody else.
func TestHalfACall(t *testing.T) {
	r := newRig(t)
	web := httptest.NewServer(r)
	defer web.Close()
	half, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	// Once it is asked to go on, the server is reading the body.
	fmt.Fprintf(half, "POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
	if line, err := bufio.NewReader(half).ReadString('\n'); !strings.Contains(line, "100") {
		t.Fatalf("%q, %v", line, err)
	}
	io.WriteString(half, `{"name":`)
	caller := http.Client{Timeout: 20 * time.Second}
	resp, err := caller.Get(web.URL + "/proxies")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// A body without end is refused, and one that is compressed is not understood.
func TestBodies(t *testing.T) {
	r := newRig(t)
	r.call("POST /proxies", `{"name":"`+strings.Repeat("x", maxBody)+`"}`, 400, `{"error":"bad request body: http: request body too large","status":400}`)
	r.call("POST /proxies", "\x1f\x8b\x08", 400, `{"error":"bad request body: invalid character '\\x1f' looking for beginning of value","status":400}`)
	r.call("POST /proxies", `{"name":"redis","listen":"127.0.0.1:0","upstream":"127.0.0.1:6379"} what follows`, 201, fmt.Sprintf(redis, ""))
	r.call("POST /proxies/redis", `{"upstream":"127.0.0.1:6380"} what follows`, 200, strings.Replace(fmt.Sprintf(redis, ""), "6379", "6380", 1))
}

// An address at which somebody listens is refused in the words of their server.
func TestTakenAddress(t *testing.T) {
	r := newRig(t)
	r.ways.fail = fmt.Errorf("listen at %s: %w", "127.0.0.1:1", syscall.EADDRINUSE)
	r.call("POST /proxies", `{"name":"a","listen":"localhost:3310","upstream":"u:1"}`, 500,
		`{"error":"listen tcp 127.0.0.1:3310: bind: address already in use","status":500}`)
}
