package control_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// Every call of the client, against the server that it is made for.
func TestClient(t *testing.T) {
	r := newRig(t, dropFin+holdAll, 1)
	c, ctx := r.serve(), t.Context()
	talk := r.open(4000, 80)
	talk.send(near, wire.ACK, "held")
	r.dry(far)

	conns, err := c.Connections(ctx, client.Filter{Port: "80", State: "ESTABLISHED"})
	if err != nil || len(conns) != 1 || conns[0].Held != 1 {
		t.Fatalf("Connections: %+v, %v", conns, err)
	}
	if conn, err := c.Connection(ctx, 1); err != nil || conn.Client.Port() != 4000 {
		t.Errorf("Connection: %+v, %v", conn, err)
	}
	if rule, err := c.Rule(ctx, "keep"); err != nil || rule.Held != 1 {
		t.Errorf("Rule: %+v, %v", rule, err)
	}
	if rule, err := c.Disable(ctx, "keep"); err != nil || rule.Enabled {
		t.Errorf("Disable: %+v, %v", rule, err)
	}
	if rule, err := c.Enable(ctx, "keep"); err != nil || !rule.Enabled {
		t.Errorf("Enable: %+v, %v", rule, err)
	}
	if rule, err := c.ReleaseRule(ctx, "keep"); err != nil || rule.Held != 0 {
		t.Errorf("ReleaseRule: %+v, %v", rule, err)
	}
	r.drain(far, 1)
	if w, err := c.Wait(ctx, client.Condition{Rule: "keep", Fired: "1"}); err != nil || !w.Met {
		t.Errorf("Wait: %+v, %v", w, err)
	}
	if w, err := c.Wait(ctx, client.Condition{Filter: client.Filter{Port: "81"}, Within: client.Duration(20 * time.Millisecond)}); err != nil || w.Met {
		t.Errorf("Wait: %+v, %v", w, err)
	}
	if w, err := c.Wait(ctx, client.Condition{Filter: client.Filter{Port: "80"}, Lasts: client.Duration(time.Millisecond)}); err != nil || !w.Met || w.Conn != 1 || w.At == 0 {
		t.Errorf("Wait: %+v, %v", w, err)
	}
	w, err := c.Wait(ctx, client.Condition{Filter: client.Filter{Port: "80", State: "CLOSE_WAIT"}, Within: client.Duration(time.Millisecond)})
	if err != nil || w.Met || len(w.Instead) != 1 || w.Instead[0].Bytes.Client != (client.Stream{Sent: 4, Delivered: 4}) {
		t.Errorf("Wait: %+v, %v", w, err)
	}
	rules, err := c.SetRules(ctx, "mine.toml", dropFin)
	if err != nil || rules.Generation != 2 || rules.Rules[0].File != "mine.toml" {
		t.Errorf("SetRules: %+v, %v", rules, err)
	}
	if _, err := c.SetRulesAt(ctx, "mine.toml", dropFin, 1); !client.IsStatus(err, 412) {
		t.Errorf("SetRulesAt: %v", err)
	}
	_, err = c.SetRules(ctx, "mine.toml", twoMistakes)
	if want := "there are mistakes in the rules; nothing has changed\n" +
		"mine.toml:3:11: rule 1 \"one\": match: unknown key \"prot\"; did you mean \"port\"?\n" +
		"mine.toml:6:20: rule 2: delay: \"10 ms\" is not a duration; write \"10ms\""; err == nil || err.Error() != want {
		t.Errorf("SetRules: %v", err)
	}
	if rules, err := c.SetFiles(ctx, client.File{Name: "a", Text: holdAll}, client.File{Name: "b", Text: dropFin}); err != nil || rules.Rules[1].File != "b" {
		t.Errorf("SetFiles: %+v, %v", rules, err)
	}
	if rules, err := c.Reload(ctx); err != nil || !slices.Equal(names(*rules), []string{"drop-fin", "keep"}) {
		t.Errorf("Reload: %+v, %v", rules, err)
	}
	if rules, err := c.Rules(ctx); err != nil || rules.Generation != 4 {
		t.Errorf("Rules: %+v, %v", rules, err)
	}
	if conn, err := c.Act(ctx, 1, client.Blackhole("server")); err != nil || !slices.Equal(conn.Lost, []string{"server"}) {
		t.Errorf("Act: %+v, %v", conn, err)
	}
	if err := errors.Join(c.Release(ctx), c.Heal(ctx)); err != nil {
		t.Error(err)
	}
	lease, err := c.NewLease(ctx, client.LeaseRequest{TTL: client.Duration(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetLease(ctx, lease.ID, client.LeaseRequest{Rules: "[[rule]]\nname = \"mine\"\naction = \"pass\""}); err != nil {
		t.Error(err)
	}
	if l, err := c.RenewLease(ctx, lease.ID); err != nil || l.Renewed != 2 {
		t.Errorf("RenewLease: %+v, %v", l, err)
	}
	if l, err := c.Lease(ctx, lease.ID); err != nil || !slices.Equal(l.Rules, []string{"mine"}) {
		t.Errorf("Lease: %+v, %v", l, err)
	}
	if ls, err := c.Leases(ctx); err != nil || len(ls) != 1 {
		t.Errorf("Leases: %+v, %v", ls, err)
	}
	if err := c.EndLease(ctx, lease.ID); err != nil {
		t.Error(err)
	}
	if v, err := c.Version(ctx); err != nil || v.Version != "test" {
		t.Errorf("Version: %+v, %v", v, err)
	}
}

// Connections come in pages; the client puts them together.
func TestClientPages(t *testing.T) {
	r := newRig(t, noRules, 1)
	c := r.serve()
	const conns = 2500
	for i := range conns {
		s := wire.Build{Src: addr("10.77.1.1", i+1), Dst: addr("10.77.2.1", 80), Flags: wire.SYN}
		r.put(near, s.Append(nil))
		r.drain(far, 1)
	}
	list, err := c.Connections(t.Context(), client.Filter{})
	if err != nil || len(list) != conns || list[conns-1].Conn != conns {
		t.Errorf("%d connections, %v", len(list), err)
	}
}

// A testTB is a test that notes how it fails.
type testTB struct {
	testing.TB
	failed   string
	cleanups []func()
}

func (t *testTB) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *testTB) Errorf(format string, args ...any) { t.failed = fmt.Sprintf(format, args...) }

func (t *testTB) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	panic(t)
}

// run runs a test to its end, cleanups included.
func (t *testTB) run(f func(testing.TB)) {
	defer func() {
		if bug := recover(); bug != nil && bug != any(t) {
			panic(bug)
		}
		for _, f := range slices.Backward(t.cleanups) {
			f()
		}
	}()
	f(t)
}

// The rules of a test end with it, also with one that fails, and its failures say why.
func TestFor(t *testing.T) {
	r := newRig(t, dropFin, 1)
	t.Setenv(client.EnvAddress, r.serve().Address())
	const mark = "[[rule]]\nname = \"mark\"\nmatch = { segment = \"syn\" }\naction = { tag = \"x\" }\n"
	for _, row := range []struct {
		name   string
		test   func(*client.Test)
		failed string
	}{
		{"passes", func(x *client.Test) {
			x.Install(mark)
			r.open(4000, 80)
			x.Await(client.Condition{Rule: "mark"})
			if n := x.Fired("mark"); n != 1 {
				t.Errorf("fired %d", n)
			}
			x.Install(strings.ReplaceAll(mark, "mark", "other"))
			if got := names(r.rules()); !slices.Equal(got, []string{"other", "drop-fin"}) {
				t.Errorf("%v are in force", got)
			}
		}, ""},
		{"mistake", func(x *client.Test) { x.Install("[[rule]]\n") },
			"tcpmangle: install rules: there are mistakes in the rules; nothing has changed\n\tlease-2:1:1: rule 1: missing \"action\""},
		{"not met", func(x *client.Test) {
			x.Install(mark)
			x.Await(client.Condition{Rule: "mark", Within: client.Duration(time.Millisecond)})
		}, `rule "mark" never fired; no segment came by`},
		{"no rule", func(x *client.Test) { x.Fired("none") }, `tcpmangle: there is no rule "none"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			tb := &testTB{TB: t}
			tb.run(func(tb testing.TB) { row.test(client.For(tb)) })
			if !strings.HasSuffix(tb.failed, row.failed) || (row.failed == "") != (tb.failed == "") {
				t.Errorf("failed with %q, want %q", tb.failed, row.failed)
			}
			if got := names(r.rules()); !slices.Equal(got, []string{"drop-fin"}) {
				t.Errorf("%v are in force after the test", got)
			}
		})
	}
}
