package rules_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
	"github.com/tcpmangle/tcpmangle/rules"
)

var update = flag.Bool("update", false, "write what came out into testdata")

// Each testdata/*.bad.toml ends with a comment that holds what is to be said about it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.toml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.toml"), func(t *testing.T) { checkBad(t, file) })
	}
}

const wantMark = "\n# want:\n"

func checkBad(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	body, want, _ := strings.Cut(string(text), wantMark)
	set, err := rules.Parse(filepath.Base(file), string(text))
	var errs rules.Errors
	if set != nil || !errors.As(err, &errs) {
		t.Fatalf("accepted: %v, %v", set, err)
	}
	var rendered bytes.Buffer
	if err := errs.Render(&rendered); err != nil {
		t.Fatal(err)
	}
	got := ""
	for line := range strings.Lines(rendered.String()) {
		got += "# " + line
	}
	if got == want {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(body+wantMark+got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("got\n%swant\n%s", got, want)
}

// parse reads a text that must be sound.
func parse(t *testing.T, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// matchOf is the match of a rule with these keys.
func matchOf(t *testing.T, keys string) rules.Match {
	t.Helper()
	return parse(t, "[[rule]]\nmatch = { "+keys+" }\naction = \"test-drop\"\n").Rules[0].Match
}

func TestSet(t *testing.T) {
	set := parse(t, `
title = "Two rules"
seed = 0

[[rule]]
name = "first"
match = { segment = "fin" }
action = { test-delay = "50ms" }

[[rule]]
enabled = false
optional = true
nth = ["2-4", 7]
count = 2
total = 100
probability = "10%"
share = 0.2
after = "10s"
for = "30s"
actions = [{ test-tag = "seen" }, "test-drop"]
`)
	if set.Title != "Two rules" || set.Seed != 0 || !set.HasSeed || len(set.Rules) != 2 {
		t.Errorf("got %+v", set)
	}
	first, second := set.Rule("first"), set.Rule("rule-2")
	if first != set.Rules[0] || second != set.Rules[1] || set.Rule("none") != nil {
		t.Fatalf("rules are not found by name: %v, %v", first, second)
	}
	if first.Index != 0 || first.File != "test.toml" || first.Line != 5 || !first.Enabled || first.Optional {
		t.Errorf("first: got %+v", first)
	}
	if want := (rules.Limits{Probability: 1, Share: 1}); !reflect.DeepEqual(first.Limits, want) {
		t.Errorf("no limits: got %+v, want %+v", first.Limits, want)
	}
	want := rules.Limits{
		Nth: rules.Ranges{{Lo: 2, Hi: 4}, {Lo: 7, Hi: 7}}, Count: 2, Total: 100,
		Probability: 0.1, HasProbability: true, Share: 0.2, After: 10 * time.Second, For: 30 * time.Second,
	}
	if !reflect.DeepEqual(second.Limits, want) {
		t.Errorf("limits: got %+v, want %+v", second.Limits, want)
	}
	if second.Enabled || !second.Optional || len(second.Actions) != 2 || second.Actions[1].Params != nil {
		t.Errorf("second: got %+v", second)
	}
	if a := first.Actions[0]; a.Name != "test-delay" || a.Line != 8 || a.Col != 12 {
		t.Errorf("action: got %+v", a)
	}
}

func TestEmptyMatch(t *testing.T) {
	if m := matchOf(t, ""); !reflect.DeepEqual(m, rules.Match{}) {
		t.Errorf("got %+v", m)
	}
	if set := parse(t, ""); len(set.Rules) != 0 || set.HasSeed {
		t.Errorf("got %+v", set)
	}
}

func TestGilbertElliott(t *testing.T) {
	set := parse(t, `
[[rule]]
probability = { model = "gilbert-elliott", p = "1%", r = 0.3 }
action = "test-drop"
`)
	want := rules.GilbertElliott{P: 0.01, R: 0.3, LossGood: 0, LossBad: 1}
	if got := set.Rules[0].GilbertElliott; got == nil || *got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSegmentMatch(t *testing.T) {
	of := conntrack.KindsOf
	fin, data, ack := of(conntrack.KindFin), of(conntrack.KindData), of(conntrack.KindAck)
	again := of(conntrack.KindRetransmission)
	for _, row := range []struct {
		segment string
		kinds   conntrack.Kinds
		want    bool
	}{
		{`"fin"`, fin | ack, true},
		{`"fin"`, data, false},
		{`["fin", "data"]`, data, true},
		{`["fin", "data"]`, ack, false},
		{`"fin+data"`, fin | data, true},
		{`"fin + data"`, fin, false},
		{`"data+!retransmission"`, data, true},
		{`"data+!retransmission"`, data | again, false},
		{`"!ack"`, fin, true},
		{`"!ack"`, ack, false},
		{`["!ack", "!data"]`, fin, true},
		{`["!ack", "!data"]`, data, false},
		{`["fin", "data", "!retransmission"]`, fin, true},
		{`["fin", "data", "!retransmission"]`, fin | again, false},
		{`["fin", "!retransmission"]`, data, false},
		{`["fin", "!ack+!data"]`, again, true},
		{`["fin", "!ack+!data"]`, ack, false},
	} {
		m := matchOf(t, "segment = "+row.segment).Segment
		if got := m.Match(row.kinds); got != row.want {
			t.Errorf("%s on %s: got %v, want %v", row.segment, row.kinds, got, row.want)
		}
	}
	if got := matchOf(t, `segment = ["data+!retransmission", "!stale"]`).Segment.String(); got != "data+!retransmission, !stale" {
		t.Errorf("string: got %s", got)
	}
}

func TestFlagMatch(t *testing.T) {
	const fin, syn, rst, psh, ack = 1, 2, 4, 8, 16
	for _, row := range []struct {
		flags string
		seg   uint16
		want  bool
	}{
		{"SA", syn | ack, true},
		{"SA", syn | ack | psh, true}, // P is not of FSRA
		{"SA", syn, false},
		{"SA", syn | ack | fin, false},
		{"PA", psh | ack, true},
		{"PA", ack, false},
		{"P", psh | ack, false},
		{"+F-R", fin | ack, true},
		{"+F-R", fin | rst, false},
		{"+F-R", ack, false},
		{"-PA", psh, false},
		{"-PA", syn, true},
	} {
		m, err := rules.ParseFlags(row.flags)
		if got := m.Match(row.seg); err != nil || got != row.want {
			t.Errorf("%s on %s: got %v, %v, want %v", row.flags, rules.Flags(row.seg), got, err, row.want)
		}
	}
	any := matchOf(t, `flags = ["S", "+F-R"]`).Flags
	if !any.Match(syn) || !any.Match(fin|ack) || any.Match(ack) || !(rules.Flagset)(nil).Match(ack) {
		t.Error("a list of flags is not any of")
	}
	if got, want := any.String(), "-F+S-R-A, +F-R"; got != want {
		t.Errorf("string: got %s, want %s", got, want)
	}
}

func TestRanges(t *testing.T) {
	for _, row := range []struct {
		text    string
		in, out []int64
	}{
		{"3", []int64{3}, []int64{2, 4}},
		{"==3", []int64{3}, []int64{2, 4}},
		{"= 3", []int64{3}, []int64{2, 4}},
		{"!=3", []int64{0, 2, 4, 1 << 62}, []int64{3}},
		{"!=0", []int64{1}, []int64{0}},
		{"2-4", []int64{2, 3, 4}, []int64{1, 5}},
		{">3", []int64{4, 1 << 62}, []int64{3}},
		{">= 3", []int64{3}, []int64{2}},
		{"<3", []int64{0, 2}, []int64{3}},
		{"<=3", []int64{3}, []int64{4}},
	} {
		rs, err := rules.ParseRanges(row.text)
		if err != nil {
			t.Errorf("%q: %v", row.text, err)
		}
		for _, n := range row.in {
			if !rs.Match(n) {
				t.Errorf("%q leaves out %d", row.text, n)
			}
		}
		for _, n := range row.out {
			if rs.Match(n) {
				t.Errorf("%q has %d", row.text, n)
			}
		}
	}
	for _, text := range []string{"", "x", "-5", "5-", "5-2", ">2-4", "<0", "1.5", "99999999999999999999", ">9223372036854775807"} {
		if rs, err := rules.ParseRanges(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, rs)
		}
	}
	if !(rules.Ranges)(nil).Match(7) {
		t.Error("no range is not every number")
	}
	if got, want := matchOf(t, `port = [80, "8000-8099", ">60000", "<=3"]`).Port.String(), "80, 8000-8099, 60001-65535, 1-3"; got != want {
		t.Errorf("string: got %s, want %s", got, want)
	}
	if got, want := matchOf(t, `length = [">0", "<=3"]`).Length.String(), ">=1, <=3"; got != want {
		t.Errorf("string: got %s, want %s", got, want)
	}
}

func TestOrdinals(t *testing.T) {
	for _, row := range []struct {
		connection string
		want       []int64 // of 1 to 10
	}{
		{`1`, []int64{1}},
		{`"2-4"`, []int64{2, 3, 4}},
		{`">=9"`, []int64{9, 10}},
		{`"every 5"`, []int64{5, 10}},
		{`[1, "every 4"]`, []int64{1, 4, 8}},
	} {
		os := matchOf(t, "connection = "+row.connection).Connection
		var got []int64
		for n := int64(1); n <= 10; n++ {
			if os.Match(n) {
				got = append(got, n)
			}
		}
		if !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s (%s): got %v, want %v", row.connection, os, got, row.want)
		}
	}
	if got := matchOf(t, `incarnation = [2, "every 5"]`).Incarnation.String(); got != "2, every 5" {
		t.Errorf("string: got %s", got)
	}
}

func TestDurationRanges(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		text    string
		in, out time.Duration
	}{
		{">=5s", 5 * time.Second, 5*time.Second - 1},
		{">5s", 5*time.Second + 1, 5 * time.Second},
		{"<5ms", 5*ms - 1, 5 * ms},
		{"<= 5ms", 5 * ms, 5*ms + 1},
		{"1s-2s", 2 * time.Second, 2*time.Second + 1},
	} {
		r, err := rules.ParseDurationRange(row.text)
		if err != nil || !r.Match(row.in) || r.Match(row.out) || r.String() != strings.ReplaceAll(row.text, " ", "") {
			t.Errorf("%q: got %v, %v", row.text, r, err)
		}
	}
	for _, text := range []string{"", "5s", "=5s", ">5", "<0s", "2s-1s", ">1s-2s", "1s-"} {
		if r, err := rules.ParseDurationRange(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, r)
		}
	}
	idle := matchOf(t, `idle = ["<1s", ">=5s"]`).Idle
	if !idle.Match(0) || idle.Match(time.Second) || !idle.Match(time.Hour) || idle.String() != "<1s, >=5s" {
		t.Errorf("a list is not any of: %s", idle)
	}
}

func TestAddrs(t *testing.T) {
	for _, row := range []struct{ text, in, out, printed string }{
		{"10.0.0.1", "10.0.0.1:5", "10.0.0.2:5", "10.0.0.1"},
		{"10.0.0.0/8", "10.255.0.1:5", "11.0.0.1:5", "10.0.0.0/8"},
		{"10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:81", "10.0.0.1:80"},
		{"10.0.0.0/8:1000-2000", "10.9.9.9:1000", "10.9.9.9:999", "10.0.0.0/8:1000-2000"},
		{"fd77::1", "[fd77::1]:5", "[fd77::2]:5", "fd77::1"},
		{"fd77::/64", "[fd77::9]:5", "[fd78::9]:5", "fd77::/64"},
		{"[fd77::1]", "[fd77::1]:5", "[fd77::2]:5", "fd77::1"},
		{"[fd77::1]:80", "[fd77::1]:80", "[fd77::1]:81", "[fd77::1]:80"},
		{"[fd77::/64]:80-90", "[fd77::5]:90", "[fd77::5]:91", "[fd77::/64]:80-90"},
		{"10.0.0.1:>1024", "10.0.0.1:1025", "10.0.0.1:1024", "10.0.0.1:1025-65535"},
	} {
		m, err := rules.ParseAddr(row.text)
		if err != nil || !m.Match(netip.MustParseAddrPort(row.in)) || m.Match(netip.MustParseAddrPort(row.out)) || m.String() != row.printed {
			t.Errorf("%q: got %v, %v", row.text, m, err)
		}
	}
	for _, text := range []string{"", ":80", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:!=80", "10.0.0.0/33", "[fd77::1", "[fd77::1]80", "fe80::1%eth0", "host:80"} {
		if m, err := rules.ParseAddr(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, m)
		}
	}
	as := matchOf(t, `client = ["10.0.0.1", "fd77::/64"]`).Client
	if !as.Match(netip.MustParseAddrPort("[fd77::1]:1")) || as.Match(netip.MustParseAddrPort("10.0.0.2:1")) || as.String() != "10.0.0.1, fd77::/64" {
		t.Errorf("a list is not any of: %s", as)
	}
}

func TestRolesAndStates(t *testing.T) {
	m := matchOf(t, `from = ["server", "active-closer"], client_state = ["fin-wait-2", "ESTAB"], tag = ["a", "b"], not_tag = "b"`)
	if m.From != rules.RoleServer|rules.RoleActiveCloser || m.From.String() != "server, active-closer" {
		t.Errorf("from: got %v", m.From)
	}
	for sender, want := range map[rules.Role]bool{
		rules.RoleClient: false,
		rules.RoleServer: true,
		rules.RoleClient | rules.RoleActiveCloser: true,
	} {
		if got := m.From.Match(sender); got != want {
			t.Errorf("from %v: got %v, want %v", sender, got, want)
		}
	}
	if !rules.Role(0).Match(rules.RoleClient) {
		t.Error("no role is not anyone")
	}
	if want := conntrack.StatesOf(conntrack.FinWait2, conntrack.Established); m.ClientState != want || m.ServerState != 0 {
		t.Errorf("states: got %v and %v", m.ClientState, m.ServerState)
	}
	if !reflect.DeepEqual(m.Tags, []string{"a", "b"}) || !reflect.DeepEqual(m.NotTags, []string{"b"}) {
		t.Errorf("tags: got %q, %q", m.Tags, m.NotTags)
	}
}

// The match methods stand on the path of every segment.
func TestMatchAllocatesNothing(t *testing.T) {
	m := matchOf(t, `port = [80, "8000-8099"], client = ["10.0.0.0/8", "fd77::/64"], from = "client",
		segment = ["fin+!stale", "!retransmission"], flags = "+F-R", connection = ["every 5", 1], length = ">=0", age = "<5s"`)
	client := netip.MustParseAddrPort("10.0.0.1:40000")
	allocs := testing.AllocsPerRun(100, func() {
		if !m.Port.Match(8050) || !m.Client.Match(client) || !m.From.Match(rules.RoleClient) ||
			!m.Segment.Match(conntrack.KindsOf(conntrack.KindFin)) || !m.Flags.Match(17) ||
			!m.Connection.Match(10) || !m.Length.Match(0) || !m.Age.Match(0) {
			t.Error("does not match")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoad(t *testing.T) {
	one := write(t, "one.toml", "title = \"one\"\nseed = 1\n[[rule]]\nname = \"a\"\naction = \"test-drop\"\n[[rule]]\naction = \"test-drop\"\n")
	two := write(t, "two.toml", "seed = 2\n[[rule]]\naction = \"test-drop\"\n")
	set, err := rules.Load(one, two)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, r := range set.Rules {
		got = append(got, r.Name)
		if r.Index != i {
			t.Errorf("%s: index %d, want %d", r.Name, r.Index, i)
		}
	}
	if want := []string{"a", "rule-2", "rule-3"}; !reflect.DeepEqual(got, want) || set.Title != "one" || set.Seed != 2 {
		t.Errorf("got %q of %+v, want %q", got, set, want)
	}
	if set.Rules[2].File != two || set.Rules[2].Line != 2 {
		t.Errorf("third rule is of %s:%d", set.Rules[2].File, set.Rules[2].Line)
	}
}

func TestLoadRefuses(t *testing.T) {
	one := write(t, "one.toml", "[[rule]]\nname = \"a\"\naction = \"test-drop\"\n")
	two := write(t, "two.toml", "\n[[rule]]\naction = \"test-drop\"\n[[rule]]\nname = \"a\"\naction = \"test-drp\"\n")
	_, err := rules.Load(one, two)
	want := fmt.Sprintf("%s:5:8: rule 2 \"a\": name: \"a\" is already the name of the rule at %s:2\n"+
		"%s:6:10: rule 2 \"a\": action: unknown action \"test-drp\"; did you mean \"test-drop\"?", two, one, two)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if _, err := rules.Load(one, filepath.Join(t.TempDir(), "none.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got %v", err)
	}
}

func TestErrorFields(t *testing.T) {
	_, err := rules.Parse("f.toml", "[[rule]]\naction = \"test-drop\"\n[[rule]]\nname = \"late\"\nmatch.age = 5\naction = \"test-drop\"\n")
	var one *rules.Error
	if !errors.As(err, &one) {
		t.Fatalf("got %v", err)
	}
	if one.File != "f.toml" || one.Line != 5 || one.Col != 13 || one.Rule != 2 || one.Name != "late" || one.Key != "match.age" {
		t.Errorf("got %+v", one)
	}
	if errors.Unwrap(one) != one.Err || one.Err.Error() != "must be a string, not an integer" {
		t.Errorf("cause: got %v", one.Err)
	}
}

func TestMustParsePanics(t *testing.T) {
	defer func() {
		if r := fmt.Sprint(recover()); !strings.HasPrefix(r, "rules:1:1: ") {
			t.Errorf("got %s", r)
		}
	}()
	rules.MustParse("x = 1")
}

// A lab file is a rule file too; what only the lab knows is the lab's to read.
func TestLabFile(t *testing.T) {
	text := `
[lab]
timeout = "5s"
[client]
script = "x"
[server]
[[rule]]
name = "a"
action = "test-drop"
[[expect]]
rule = "a"
[[step]]
`
	parse(t, text)
	doc := tomldoc.Parse("lab.toml", text)
	set := rules.Decode(doc)
	lab, _ := doc.Root().Table("lab")
	lab.In(tomldoc.Section{Kind: "lab"})
	lab.Int("timeout")
	doc.Root().Skip("client", "server", "expect")
	doc.Finish()
	want := "lab.toml:3:11: lab: timeout: must be an integer, not a string\nlab.toml:12:3: unknown key \"step\""
	if got := rules.DocErrors(doc); set.Rule("a") == nil || got.Error() != want || got[0].Rule != 0 {
		t.Errorf("got\n%v\nwant\n%s", got, want)
	}
}

func ExampleParse() {
	_, err := rules.Parse("late-fin.toml", `
[[rule]]
name   = "late-fin"
match  = { segment = "fim" }
action = { test-delay = "10 ms" }
`)
	var errs rules.Errors
	if errors.As(err, &errs) {
		errs.Render(os.Stdout)
	}
	// Output:
	// late-fin.toml:4:22: rule 1 "late-fin": match.segment: unknown segment kind "fim"; did you mean "fin"?
	//     4 | match  = { segment = "fim" }
	//       |                      ^^^^^
	// late-fin.toml:5:25: rule 1 "late-fin": test-delay: "10 ms" is not a duration; write "10ms"
	//     5 | action = { test-delay = "10 ms" }
	//       |                         ^^^^^^^
}

// FuzzParse: no text panics; every mistake lies inside the file.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.bad.toml")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		f.Add(string(text))
	}
	f.Add("[[rule]]\nmatch = { client = \"[fd77::/64]:80-90\", connection = \"every 5\", age = \"1s-2s\" }\nactions = [\"test-drop\"]\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := rules.Parse("f", text)
		var errs rules.Errors
		if !errors.As(err, &errs) {
			return
		}
		lines := strings.Split(text, "\n")
		for _, e := range errs {
			if e.Line < 1 || e.Line > len(lines) || e.Col < 1 || e.Col > len([]rune(lines[e.Line-1]))+1 {
				t.Fatalf("outside of the file: %v", e)
			}
		}
	})
}
