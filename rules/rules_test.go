package rules_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
	"github.com/tcpmangle/tcpmangle/rules"
)

// parse reads a text that must be sound.
func parse(t *testing.T, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	return set
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
	if errors.Unwrap(one) != one.Err || one.Err.Error() != "must be a range of durations like \">=5s\" or \"1s-2s\"" {
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
