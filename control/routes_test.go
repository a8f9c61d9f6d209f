package control_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// Every route stands in openapi.yaml, and the other way round.
func TestOpenAPIHasTheRoutes(t *testing.T) {
	doc, _ := document()
	var described []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	slices.Sort(described)
	routes := newRig(t, noRules, 1).Routes()
	slices.Sort(routes)
	if !slices.Equal(described, routes) {
		t.Errorf("openapi.yaml has\n%s\nthe server has\n%s", strings.Join(described, "\n"), strings.Join(routes, "\n"))
	}
}

// The actions that the file lists are those that can be done by a call, and they can.
func TestOpenAPIHasTheActions(t *testing.T) {
	doc, _ := document()
	var listed, there []string
	for _, name := range doc.Paths.Value("/v1/connections/{conn}/{action}").Parameters.GetByInAndName("path", "action").Schema.Value.Enum {
		listed = append(listed, name.(string))
	}
	for _, f := range rules.Faults() {
		if f.Anytime {
			there = append(there, f.Name)
		}
	}
	if !slices.Equal(listed, there) {
		t.Errorf("openapi.yaml has %v, rule files have %v", listed, there)
	}
	bodies := map[string]string{"tag": `{"name":"x"}`, "untag": `{"name":"x"}`, "fin": `{"to":"client"}`, "inject": `{"to":"client","flags":"A"}`}
	r := newRig(t, noRules, 1)
	r.open(4000, 80)
	for _, name := range listed {
		r.call("POST", "/v1/connections/1/"+name, bodies[name]).want(http.StatusOK)
	}
}

// misuses are calls that are refused, with the exact answer.
var misuses = []struct {
	name, method, path, body string
	status                   int
	message                  string
}{
	{"no such path", "GET", "/v1/nothing", "", 404, "there is no /v1/nothing"},
	{"root", "GET", "/", "", 404, "there is no /"},
	{"wrong method", "POST", "/v1/rules", "", 405, "/v1/rules does not do POST, but GET, PUT"},
	{"wrong method of a lease", "PATCH", "/v1/leases/x", "{}", 405, "/v1/leases/x does not do PATCH, but DELETE, GET, PUT"},

	{"OPTIONS", "OPTIONS", "/v1/rules", "", 405, "/v1/rules does not do OPTIONS, but GET, PUT"},
	{"trailing slash", "GET", "/v1/rules/", "", 404, "there is no /v1/rules/"},
	{"two slashes", "GET", "//v1/rules", "", 404, "there is no //v1/rules"},
	{"dots", "GET", "/v1/leases/../rules", "", 404, "there is no /v1/leases/../rules"},
	{"dots in disguise", "PUT", "/v1/leases/%2E%2E", "{}", 404, "there is no /v1/leases/.."},
	{"slash in disguise", "GET", "/v1/rules/a%2Fb", "", 404, `there is no rule "a/b"`},

	{"bad query", "GET", "/v1/connections?port=%zz", "", 400, `bad query: invalid URL escape "%zz"`},
	{"semicolon", "GET", "/v1/connections?port=80;state=CLOSED", "", 400, "bad query: invalid semicolon separator in query"},
	{"given twice", "GET", "/v1/connections?state=CLOSED&state=ESTABLISHED", "", 400, "state is given twice; alternatives stand in one, with commas between"},
	{"parameter of a call without any", "POST", "/v1/heal?rule=drop-fin", "", 400, `unknown parameter "rule"; there is none`},
	{"body of a call without one", "POST", "/v1/heal", `{"rule":"drop-fin"}`, 400, "/v1/heal takes no body"},
	{"body of a lookup", "GET", "/v1/connections", `{"port":"80"}`, 400, "/v1/connections takes no body"},
	{"unknown parameter", "GET", "/v1/connections?prot=80", "", 400, `unknown parameter "prot"; there is state, client_state, server_state, port, client, server, tag, closed, after, limit`},
	{"state", "GET", "/v1/connections?state=FIN_WAIT_3", "", 400, `state: unknown state "FIN_WAIT_3"; did you mean "FIN_WAIT_1"?`},
	{"port", "GET", "/v1/connections?port=http", "", 400, `port: "http" is not a number or range; write it like 5, "2-4" or ">=3"`},
	{"address", "GET", "/v1/connections?client=here", "", 400, `client: "here" is not an address or CIDR; write it like "10.0.0.0/8", "10.0.0.1:80" or "[fd77::1]:80"`},
	{"no such connection", "GET", "/v1/connections?port=80&server=10.0.0.1:81", "", 400, `server: no connection has this and what "port" asks for`},
	{"closed", "GET", "/v1/connections?closed=perhaps", "", 400, `closed: "perhaps" is not true or false`},
	{"limit", "GET", "/v1/connections?limit=-1", "", 400, `limit: "-1" is not a number`},
	{"limit beyond all numbers", "GET", "/v1/connections?limit=18446744073709551616", "", 400, `limit: "18446744073709551616" is not a number`},
	{"connection 0", "GET", "/v1/connections/0", "", 404, "there is no connection 0, or it is forgotten"},
	{"connection beyond all numbers", "GET", "/v1/connections/18446744073709551616", "", 404, `"18446744073709551616" is no connection; its id is the number that events and lists call conn`},
	{"connection", "GET", "/v1/connections/9", "", 404, "there is no connection 9, or it is forgotten"},
	{"connection's name", "GET", "/v1/connections/x", "", 404, `"x" is no connection; its id is the number that events and lists call conn`},

	{"act on none", "POST", "/v1/connections/9/reset", "{}", 404, "there is no connection 9, or it is forgotten"},
	{"act strangely", "POST", "/v1/connections/1/explode", "{}", 404, `"explode" is nothing that a call can do to a connection; there is blackhole, fin, forget, inject, release, reset, tag, untag`},
	{"act with a segment's action", "POST", "/v1/connections/1/drop", "{}", 404, `"drop" is nothing that a call can do to a connection; there is blackhole, fin, forget, inject, release, reset, tag, untag`},
	{"act, bad JSON", "POST", "/v1/connections/1/reset", "{", 400, "bad JSON: unexpected EOF"},
	{"act, no object", "POST", "/v1/connections/1/reset", "[1]", 400, "bad JSON: the body must be an object, not a list"},
	{"act, unknown parameter", "POST", "/v1/connections/1/reset", `{"too":"client"}`, 400, `reset: unknown key "too"; did you mean "to"?`},
	{"act, bad parameter", "POST", "/v1/connections/1/reset", `{"to":"clint"}`, 400, `reset.to: unknown side "clint"; did you mean "client"?`},
	{"act, two that exclude each other", "POST", "/v1/connections/1/release", `{"tag":"a","rule":"b"}`, 400, `release.tag: "tag" and "rule" exclude each other`},
	{"act, null", "POST", "/v1/connections/1/reset", `{"to":null}`, 400, "reset.to: must be a string, a number, true, false or a list"},
	{"act, nested", "POST", "/v1/connections/1/reset", `{"to":{"x":1}}`, 400, "reset.to: must be a string, a number, true, false or a list"},

	{"rule", "GET", "/v1/rules/none", "", 404, `there is no rule "none"`},
	{"enable", "POST", "/v1/rules/none/enable", "", 404, `there is no rule "none"`},
	{"release", "POST", "/v1/rules/none/release", "", 404, `there is no rule "none"`},
	{"set rules, parameter", "PUT", "/v1/rules?name=x", "", 400, `unknown parameter "name"; there is file`},

	{"set rules, no name", "PUT", "/v1/rules", `{"files":[{"name":"a.toml","text":""},{"text":""}]}`, 400, "file 2 has no name"},
	{"set rules, two names", "PUT", "/v1/rules?file=x", `{"files":[]}`, 400, "file names the text of one file; these have names of their own"},
	{"set rules, no files", "PUT", "/v1/rules", `{}`, 400, "files is missing; an empty list is none"},
	{"set rules, a text among files", "PUT", "/v1/rules", `{"files":["a.toml"]}`, 400, "bad JSON: each of files must be an object, not a string"},
	{"set rules, a text as files", "PUT", "/v1/rules", `{"files":"a.toml"}`, 400, "bad JSON: files must be a list, not a string"},
	{"set rules, misspelt", "PUT", "/v1/rules", `{"file":[]}`, 400, `bad JSON: unknown field "file"`},

	{"wait for null", "POST", "/v1/wait", "null", 400, "the condition says nothing; it needs rule, or connections and what selects them"},
	{"wait for nulls", "POST", "/v1/wait", `{"rule":null,"port":null,"within":null}`, 400, "the condition says nothing; it needs rule, or connections and what selects them"},
	{"wait for a time", "POST", "/v1/wait", `{"lasts":"1s"}`, 400, "the condition says nothing; it needs rule, or connections and what selects them"},
	{"wait for nothing", "POST", "/v1/wait", "{}", 400, "the condition says nothing; it needs rule, or connections and what selects them"},
	{"wait for both", "POST", "/v1/wait", `{"rule":"drop-fin","port":"80"}`, 400, "one condition is about a rule or about connections, not both"},
	{"wait without rule", "POST", "/v1/wait", `{"fired":"2"}`, 400, "fired goes with rule"},
	{"wait for no rule", "POST", "/v1/wait", `{"rule":"none"}`, 404, `there is no rule "none"`},
	{"wait, count", "POST", "/v1/wait", `{"rule":"drop-fin","fired":"some"}`, 400, `fired: "some" is not a number or range; write it like 5, "2-4" or ">=3"`},
	{"wait, a number", "POST", "/v1/wait", `{"port":6379}`, 400, "bad JSON: port must be a string, not a number"},
	{"wait, a text", "POST", "/v1/wait", `{"closed":"yes"}`, 400, "bad JSON: closed must be true or false, not a string"},
	{"wait, a list", "POST", "/v1/wait", `["drop-fin"]`, 400, "bad JSON: the body must be an object, not a list"},
	{"wait, no state", "POST", "/v1/wait", `{"state":","}`, 400, "state: must not be empty; state: must not be empty"},
	{"wait, misspelt", "POST", "/v1/wait", `{"rul":"drop-fin"}`, 400, `bad JSON: unknown field "rul"`},
	{"wait, unit", "POST", "/v1/wait", `{"rule":"drop-fin","within":"10"}`, 400, `bad JSON: "10" is not a duration; write seconds, or "1.5s"`},
	{"wait, too long", "POST", "/v1/wait", `{"rule":"drop-fin","within":"2h"}`, 400, "within: 2h0m0s is not between 0s and 1h0m0s"},
	{"wait, negative", "POST", "/v1/wait", `{"rule":"drop-fin","within":-1}`, 400, "within: -1s is not between 0s and 1h0m0s"},
	{"wait, beyond all time", "POST", "/v1/wait", `{"rule":"drop-fin","within":1e300}`, 400, "bad JSON: 1e+300 seconds are more than a duration holds"},
	{"wait, no number", "POST", "/v1/wait", `{"rule":"drop-fin","within":NaN}`, 400, "bad JSON: invalid character 'N' looking for beginning of value"},
	{"wait, lasts too long", "POST", "/v1/wait", `{"rule":"drop-fin","lasts":"61m"}`, 400, "lasts: 1h1m0s is not between 0s and 1h0m0s"},
	{"wait, trailing", "POST", "/v1/wait", `{"rule":"drop-fin"} {}`, 400, "bad JSON: something follows the object"},

	{"events, type", "GET", "/v1/events?type=segment,segmnt", "", 400, `type: there are no events "segmnt"; there are reload, open, state, desync, segment, deliver, rule, close, overflow, expect`},
	{"events, all", "GET", "/v1/events?all=x", "", 400, `all: "x" is not true or false`},
	{"events, conn", "GET", "/v1/events?conn=x", "", 400, `conn: "x" is not a number`},

	{"lease", "GET", "/v1/leases/none", "", 404, `there is no lease "none", or it has lapsed`},
	{"renew", "POST", "/v1/leases/none/renew", "", 404, `there is no lease "none", or it has lapsed`},
	{"end", "DELETE", "/v1/leases/none", "", 404, `there is no lease "none", or it has lapsed`},
	{"lease, ttl", "POST", "/v1/leases", `{"ttl":"48h"}`, 400, "ttl: 48h0m0s is not between 0s and 24h0m0s"},
	{"lease, beyond all time", "POST", "/v1/leases", `{"ttl":-1e300}`, 400, "bad JSON: -1e+300 seconds are more than a duration holds"},
	{"lease, negative", "POST", "/v1/leases", `{"ttl":-1}`, 400, "ttl: -1s is not between 0s and 24h0m0s"},
	{"lease, id", "PUT", "/v1/leases/a%20b", `{}`, 400, `"a b" is no id; it may have 64 letters, digits, _ . and -`},
	{"lease, taken", "PUT", "/v1/leases/files", `{}`, 409, `"files" is the name of other rules than a lease's`},
	{"lease, name", "POST", "/v1/leases", `{"rules":"[[rule]]\nname=\"drop-fin\"\naction=\"drop\""}`, 409, `"drop-fin" is already the name of a rule of files`},
}

func TestMisuse(t *testing.T) {
	r := newRig(t, dropFin, 1)
	r.open(4000, 80)
	before := r.call("GET", "/v1/rules", "").want(200).Body.String()
	for _, m := range misuses {
		t.Run(m.name, func(t *testing.T) {
			var e client.Error
			r.call(m.method, m.path, m.body).want(m.status).into(&e)
			if e.Message != m.message || e.Status != m.status {
				t.Errorf("got  %d %q\nwant %d %q", e.Status, e.Message, m.status, m.message)
			}
		})
	}
	r.call("GET", "/v1/rules", "").is(strings.TrimSpace(before))
	r.call("GET", "/v1/leases", "").is(`{"leases":[]}`)
}

func TestWrongMethodNamesTheRightOnes(t *testing.T) {
	r := newRig(t, noRules, 1)
	if got := r.call("DELETE", "/v1/rules", "").want(405).Header().Get("Allow"); got != "GET, PUT" {
		t.Errorf("Allow: %q", got)
	}
}

// Bodies are bounded.
func TestHugeBodies(t *testing.T) {
	r := newRig(t, noRules, 1)
	huge := strings.Repeat("#", 5<<20)
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "/v1/rules", huge},
		{"POST", "/v1/leases", `{"rules":` + quote(huge) + `}`},
		{"POST", "/v1/wait", `{"rule":` + quote(huge) + `}`},
	} {
		r.call(c.method, c.path, c.body).want(413).is(`{"error":"a body has 4194304 bytes at most","status":413}`)
	}
}

// Once packets move no more, calls say so.
func TestStopped(t *testing.T) {
	r := newRig(t, dropFin, 1)
	r.call("GET", "/healthz", "").want(200).is(`{"status":"ok"}`)
	r.stop()
	for _, c := range []string{"GET /healthz", "GET /v1/connections", "POST /v1/heal", "POST /v1/reload", "GET /v1/events", "POST /v1/rules/drop-fin/enable"} {
		method, path, _ := strings.Cut(c, " ")
		r.call(method, path, "").want(503).is(`{"error":"the engine has stopped","status":503}`)
	}
	r.call("GET", "/v1/rules", "").want(200) // what was counted can be read
	r.call("GET", "/metrics", "").want(200)
}

func TestVersion(t *testing.T) {
	var v client.Version
	newRig(t, noRules, 1).call("GET", "/v1/version", "").want(200).into(&v)
	if v.Version != "test" || v.API != 1 || !strings.HasPrefix(v.Go, "go1.") {
		t.Errorf("%+v", v)
	}
}

func TestMetrics(t *testing.T) {
	r := newRig(t, dropFin+holdAll, 2)
	talk := r.open(4000, 80)
	talk.send(near, wire.ACK|wire.PSH, "hello")
	talk.send(near, wire.ACK|wire.FIN, "")
	r.dry(far)
	text := r.call("GET", "/metrics", "").want(200).Body.String()
	sums := map[string]int{}
	for line := range strings.Lines(text) {
		for _, want := range []string{"tcpmangle_segments_total{", "tcpmangle_connections{", `tcpmangle_rule_fired_total{rule="drop-fin"} 1`,
			`tcpmangle_rule_held_segments{rule="keep"} 1`, `verdict="drop",worker="1"} 1`, `tcpmangle_lateness_seconds_count`, `tcpmangle_rules_generation 1`, `version="test"`} {
			if strings.Contains(line, want) {
				sums[want]++
			}
		}
	}
	if sums["tcpmangle_segments_total{"] != 2 || len(sums) != 8 {
		t.Errorf("found %v in\n%s", slices.Sorted(maps.Keys(sums)), text)
	}
}
