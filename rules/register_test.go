package rules_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/rules"
)

// paramsOf are the parameters of a rule's only action.
func paramsOf(t *testing.T, action string) any {
	t.Helper()
	return parse(t, "[[rule]]\naction = "+action+"\n").Rules[0].Actions[0].Params
}

func TestParams(t *testing.T) {
	timeout, drop, window, ttl := 10*time.Second, "drop", uint16(0), 255
	for _, row := range []struct {
		action string
		want   any
	}{
		{`"test-drop"`, nil},
		{`{ test-drop = {} }`, nil},
		{`{ test-delay = "50ms" }`, &delay{By: 50 * time.Millisecond, Distribution: "uniform", KeepOrder: true}},
		{`{ test-delay = { by = "1s", jitter = "1m", distribution = "pareto", keep_order = false } }`,
			&delay{By: time.Second, Jitter: time.Minute, Distribution: "pareto"}},
		{`{ test-hold = { until = "next" } }`, &hold{Until: "next"}},
		{`{ test-hold = { until = "next", timeout = "10s", on_timeout = "drop" } }`,
			&hold{Until: "next", Timeout: &timeout, OnTimeout: &drop}},
		{`{ test-rewrite = { window = 0, ttl = 255, shift = -5 } }`,
			&rewrite{Window: &window, TTL: &ttl, Shift: -5, Factor: 1.5}},
		{`{ test-rewrite = { strip = "sack", to = ["client", "both"], factor = 2, set = "FP", chances = ["5%", 1] } }`,
			&rewrite{Strip: []string{"sack"}, To: []rules.Side{rules.SideClient, rules.SideBoth},
				Factor: 2, Set: rules.FIN | rules.PSH, Chances: []probability{0.05, 1}}},
		{`"test-reset"`, &reset{To: rules.SideBoth, Note: "made"}},
		{`{ test-reset.to = "server" }`, &reset{To: rules.SideServer, Note: "made"}},
		{`{ test-rate = "1MB/s" }`, &rate{Limit: 8e6, Burst: 65536, Lose: 0.05}},
		{`{ test-rate = { limit = "10mbit", burst = 1500, lose = 0 } }`, &rate{Limit: 10e6, Burst: 1500}},
		{`{ test-tag = "seen" }`, &tag{Name: "seen"}},
	} {
		if got := paramsOf(t, row.action); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %+v, want %+v", row.action, got, row.want)
		}
	}
}

// Two actions of one kind do not share their parameters.
func TestParamsAreFresh(t *testing.T) {
	set := parse(t, `
[[rule]]
actions = [{ test-tag = "a" }, { test-tag = "b" }]
`)
	a, b := set.Rules[0].Actions[0].Params.(*tag), set.Rules[0].Actions[1].Params.(*tag)
	if a.Name != "a" || b.Name != "b" {
		t.Errorf("got %q and %q", a.Name, b.Name)
	}
}

func TestFaults(t *testing.T) {
	byName := make(map[string]rules.FaultDoc)
	last := ""
	for _, f := range rules.Faults() {
		byName[f.Name] = f
		if f.Name <= last {
			t.Errorf("%s stands behind %s", f.Name, last)
		}
		last = f.Name
	}
	want := rules.FaultDoc{Name: "test-delay", Doc: "leaves later", Terminal: true, Params: []rules.ParamDoc{
		{Name: "by", Doc: "how much later", Type: "duration", Required: true, Primary: true},
		{Name: "jitter", Doc: "spread around it", Type: "duration", Default: "0s", Max: "1m"},
		{Name: "distribution", Doc: "of the spread", Type: "string", Default: "uniform", Values: []string{"uniform", "normal", "pareto"}},
		{Name: "keep_order", Doc: "nothing overtakes it", Type: "boolean", Default: "true"},
	}}
	if got := byName["test-delay"]; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	types := map[string]string{}
	for _, p := range byName["test-rewrite"].Params {
		types[p.Name] = fmt.Sprintf("%s %s..%s %v", p.Type, p.Min, p.Max, p.Values)
	}
	for name, want := range map[string]string{
		"window":  "integer 0.. []",
		"ttl":     "integer 1..255 []",
		"shift":   "integer -100000..100000 []",
		"strip":   "list of string .. [sack wscale mss]",
		"set":     "string .. []",
		"to":      "list of string .. [client server both]",
		"factor":  "number 0.. []",
		"chances": "list of probability .. []",
	} {
		if types[name] != want {
			t.Errorf("%s: got %s, want %s", name, types[name], want)
		}
	}
}

func TestRegisterPanics(t *testing.T) {
	for _, row := range []struct {
		name   string
		params any
		want   string
	}{
		{"test-drop", nil, "registered twice"},
		{"test-bad", 5, "a pointer to a struct"},
		{"test-bad", &struct {
			A map[string]int `rule:"a"`
		}{}, "cannot be read"},
		{"test-bad", &struct {
			a int `rule:"a"`
		}{}, "not exported"},
		{"test-bad", &struct {
			A time.Duration `rule:"a" default:"10"`
		}{}, "has no unit"},
		{"test-bad", &struct {
			A int `rule:"a" min:"1" default:"0"`
		}{}, "at least 1"},
		{"test-bad", &struct {
			A string `rule:"a" enum:"x,y" default:"z"`
		}{}, "unknown value"},
		{"test-bad", &struct {
			A string `rule:"a" min:"1"`
		}{}, "has no bounds"},
		{"test-bad", &struct {
			A int `rule:"a" max:"many"`
		}{}, "must be an integer"},
		{"test-bad", &struct {
			A int `rule:"a" required:"true" default:"1"`
		}{}, "required with a default"},
		{"test-bad", &struct {
			A int `rule:"a,primary"`
			B int `rule:"b,primary"`
		}{}, "two primary ones"},
		{"test-bad", &struct {
			A int `rule:"a"`
			B int `rule:"a"`
		}{}, "two parameters"},
	} {
		got := panicOf(func() {
			if row.params == nil {
				rules.Register(row.name, "", nil)
				return
			}
			rules.Register(row.name, "", func() any { return row.params })
		})
		if !strings.Contains(got, row.want) {
			t.Errorf("%T: got panic %q, want %q in it", row.params, got, row.want)
		}
	}
}

func panicOf(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return ""
}

func TestReference(t *testing.T) {
	for table, keys := range map[string][]rules.KeyDoc{
		"match": rules.MatchKeys(), "limits": rules.LimitKeys(), "rule": rules.RuleKeys(), "at": rules.AtKeys(), "model": rules.GilbertElliottKeys(),
	} {
		seen := make(map[string]bool)
		for _, k := range keys {
			if k.Name == "" || k.Type == "" || k.Doc == "" || seen[k.Name] || strings.HasSuffix(k.Doc, ".") {
				t.Errorf("%s: %+v", table, k)
			}
			seen[k.Name] = true
		}
	}
	if n := len(rules.MatchKeys()); n != 20 {
		t.Errorf("%d match keys, want 20", n)
	}
	if n := len(rules.LimitKeys()); n != 8 {
		t.Errorf("%d limit keys, want 8", n)
	}
}

func TestSide(t *testing.T) {
	for text, want := range map[string]rules.Side{"client": rules.SideClient, "server": rules.SideServer, "both": rules.SideBoth} {
		var s rules.Side
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || s.String() != text {
			t.Errorf("%s: got %v, %v", text, s, err)
		}
	}
	if !rules.SideBoth.Has(rules.SideClient) || rules.SideClient.Has(rules.SideServer) || rules.SideBoth.Has(0) || rules.SideClient.Has(rules.SideBoth) {
		t.Error("Has")
	}
	if got := rules.Rate(8e6).BytesPerSecond(); got != 1e6 {
		t.Errorf("rate: got %v", got)
	}
}
