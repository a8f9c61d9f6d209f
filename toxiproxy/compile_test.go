package toxiproxy

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/rules"
)

// withToxics makes a proxy with toxics, each as "TYPE STREAM TOXICITY ATTRIBUTES".
func withToxics(t *testing.T, lines ...string) *Server {
	t.Helper()
	s := New(Config{Box: &fakeBox{}})
	p := &proxy{Name: "p", Enabled: true, open: true, way: Way{Server: netip.MustParseAddrPort("198.18.0.1:80")}}
	for _, line := range lines {
		f := strings.SplitN(line, " ", 4)
		toxic, err := readToxic(strings.NewReader(`{"type":"` + f[0] + `","stream":"` + f[1] + `","toxicity":` + f[2] + `,"attributes":` + f[3] + `}`))
		if err != nil {
			t.Fatal(err)
		}
		p.insert(toxic)
	}
	s.proxies["p"] = p
	return s
}

// Each type comes to rules that the reader of rule files takes, for all its attributes.
func TestEachTypeCompiles(t *testing.T) {
	extremes := map[string][]string{
		"latency":      {`{}`, `{"latency":100000000,"jitter":100000000}`, `{"latency":9223372036854775807,"jitter":9223372036854775807}`},
		"bandwidth":    {`{}`, `{"rate":1}`, `{"rate":9223372036854775807}`},
		"slow_close":   {`{}`, `{"delay":1}`, `{"delay":9223372036854775807}`},
		"timeout":      {`{}`, `{"timeout":1}`, `{"timeout":9223372036854775807}`},
		"reset_peer":   {`{}`, `{"timeout":1}`, `{"timeout":9223372036854775807}`},
		"slicer":       {`{}`, `{"average_size":1,"size_variation":1,"delay":1}`, `{"average_size":100000,"delay":9223372036854775807}`},
		"limit_data":   {`{}`, `{"bytes":1}`, `{"bytes":9223372036854775807}`},
		"packet_loss":  {`{}`, `{"probability":1}`, `{"probability":1e-7}`},
		"noop":         {`{}`},
		"last_ack":     {`{}`},
		"half_open":    {`{}`},
		"slow_connect": {`{}`, `{"delay":5,"jitter":5}`, `{"delay":9223372036854775807,"jitter":9223372036854775807}`},
		"refuse":       {`{}`},
		"blackhole":    {`{}`},
		"idle_forget":  {`{"idle":1}`, `{"idle":9223372036854775807,"reset":true}`},
	}
	for name := range types {
		if extremes[name] == nil {
			t.Errorf("%s is not tested", name)
		}
		for _, attributes := range extremes[name] {
			for stream, share := range map[string]float64{"upstream": 1, "downstream": 0.25} {
				set, err := withToxics(t, fmt.Sprint(name, " ", stream, " ", share, " ", attributes)).compile()
				if err != nil {
					t.Errorf("%s %s: %v", name, attributes, err)
					continue
				}
				for _, r := range set.Rules {
					if r.Share != share || !r.Optional || r.Match.Server.String() != "198.18.0.1:80" {
						t.Errorf("%s: share %v, server %v", r.Name, r.Share, r.Match.Server)
					}
				}
			}
		}
	}
}

// A toxic that is for a share of the connections is one rule: each throws dice of its own.
func TestShareIsOneRule(t *testing.T) {
	for toxicity, want := range map[string]int{"1": 2, "0.5": 1} {
		set, err := withToxics(t, "timeout upstream "+toxicity+` {"timeout":1}`).compile()
		if err != nil || len(set.Rules) != want {
			t.Errorf("toxicity %s: %d rules, want %d (%v)", toxicity, len(set.Rules), want, err)
		}
	}
}

// A toxic that is for no connection is no rule.
func TestNoToxicity(t *testing.T) {
	set, err := withToxics(t, "latency upstream 0 {}").compile()
	if err != nil || len(set.Rules) != 0 {
		t.Errorf("%v, %v", set.Rules, err)
	}
}

// All toxics of a direction act on a segment: what loses it, what shapes it, and what
// delays it, in this order; delays are added up.
func TestOrder(t *testing.T) {
	set, err := withToxics(t,
		`latency downstream 1 {"latency":100,"jitter":10}`,
		`slow_close downstream 1 {"delay":1000}`,
		`bandwidth downstream 1 {"rate":10}`,
		`packet_loss downstream 1 {"probability":0.1}`,
		`latency upstream 1 {"latency":7}`,
	).compile()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range set.Rules {
		got = append(got, r.Name+" "+r.Match.From.String()+" "+r.Actions[0].Name)
	}
	want := []string{
		"p.packet_loss_downstream server drop", "p.bandwidth_downstream server rate",
		"p.slow_close_downstream server delay", "p.latency_upstream client delay", "p.latency_downstream server delay",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDelaysAddUp(t *testing.T) {
	s := withToxics(t, `latency downstream 1 {"latency":100,"jitter":10}`, `slow_close downstream 1 {"delay":1000}`)
	for i, attributes := range []string{`{"latency":20,"jitter":1}`, `{"latency":3}`} {
		toxicity := []string{"1", "0.5"}[i]
		toxic, err := readToxic(strings.NewReader(`{"type":"latency","name":"more` + toxicity + `","toxicity":` + toxicity + `,"attributes":` + attributes + `}`))
		if err != nil {
			t.Fatal(err)
		}
		s.proxies["p"].insert(toxic)
	}
	set, err := s.compile()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"p.slow_close_downstream": `by = "1.12s", jitter = "11ms"`,
		"p.more0.5":               `by = "123ms", jitter = "11ms"`,
		"p.latency_downstream":    `by = "120ms", jitter = "11ms"`,
	}
	for _, r := range set.Rules {
		same := rules.MustParse("[[rule]]\naction = { delay = { " + want[r.Name] + " } }").Rules[0].Actions[0]
		if got := r.Actions[0]; !sameParams(got, same) {
			t.Errorf("%s: %+v, want %s", r.Name, got.Params, want[r.Name])
		}
	}
	if len(set.Rules) != len(want) || set.Rules[2].Name != "p.latency_downstream" {
		t.Errorf("%d rules, the last is %s", len(set.Rules), set.Rules[len(set.Rules)-1].Name)
	}
}

// Names of proxies and toxics are anything; those of rules are not, and differ.
func TestNames(t *testing.T) {
	w := writer{names: map[string]bool{}}
	for _, row := range [][2]string{{"redis.x", "redis.x"}, {"a b/c", "a_b_c"}, {"a_b_c", "a_b_c.2"}, {"ä", "_"}, {"ö", "_.2"}} {
		if got := w.name(row[0]); got != row[1] {
			t.Errorf("%q is called %q, want %q", row[0], got, row[1])
		}
	}
}

func TestMillis(t *testing.T) {
	if got := millis(1500); got != (1500 * time.Millisecond).String() {
		t.Error(got)
	}
}

// sameParams compares what two actions do.
func sameParams(a, b rules.Action) bool { return reflect.DeepEqual(a.Params, b.Params) }
