package control_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

func (r *rig) rules() client.Rules {
	r.t.Helper()
	var list client.Rules
	r.call("GET", "/v1/rules", "").want(200).into(&list)
	return list
}

func names(list client.Rules) (out []string) {
	for _, r := range list.Rules {
		out = append(out, r.Name)
	}
	return out
}

func TestRules(t *testing.T) {
	r := newRig(t, "title = \"two\"\n"+dropFin+holdAll+"optional = true\n", 1)
	talk := r.open(4000, 80)
	talk.send(near, wire.ACK, "hello")
	r.dry(far)
	got := r.rules()
	if got.Generation != 1 || got.Title != "two" || got.Seed != 7 {
		t.Errorf("%+v", got)
	}
	fin, keep := got.Rules[0], got.Rules[1]
	if fin.Name != "drop-fin" || fin.Fired != 0 || !strings.HasPrefix(fin.WhyNot, "closest:") || fin.Layer != "files" ||
		fin.File != "files.toml" || fin.Line != 2 || !slices.Equal(fin.Actions, []string{"drop"}) || !fin.Enabled || fin.Optional {
		t.Errorf("%+v", fin)
	}
	if keep.Fired != 1 || keep.Held != 1 || keep.WhyNot != "" || !keep.Optional {
		t.Errorf("%+v", keep)
	}
}

func TestEnableDisableRelease(t *testing.T) {
	r := newRig(t, holdAll, 2)
	talk := r.open(4000, 80)
	var rule client.Rule
	r.call("POST", "/v1/rules/keep/disable", "").want(200).into(&rule)
	if rule.Enabled {
		t.Error("it is awake still")
	}
	talk.send(near, wire.ACK, "passes")
	r.drain(far, 1)
	r.call("POST", "/v1/rules/keep/enable", "").want(200).into(&rule)
	talk.send(near, wire.ACK, "held")
	talk.send(near, wire.ACK, "too")
	r.dry(far)
	if r.rules().Rules[0].Held != 2 {
		t.Errorf("%+v", r.rules().Rules[0])
	}
	r.call("POST", "/v1/rules/keep/release", "").want(200).into(&rule)
	if rule.Held != 0 || rule.Fired != 2 {
		t.Errorf("%+v", rule)
	}
	r.drain(far, 2)
	talk.send(near, wire.ACK, "held")
	r.dry(far)
	r.call("POST", "/v1/release", "").want(204)
	r.drain(far, 1)
}

// Other rules are put in force in one step; what is the same goes on counting.
func TestSetRules(t *testing.T) {
	r := newRig(t, dropFin+holdAll, 1)
	talk := r.open(4000, 80)
	talk.send(near, wire.ACK, "held")
	r.dry(far)
	var list client.Rules
	a := r.call("PUT", "/v1/rules?file=new.toml", "[[rule]]\nname = \"new\"\nmatch = { segment = \"rst\" }\naction = \"drop\"\n"+holdAll).want(200)
	a.into(&list)
	if got := names(list); !slices.Equal(got, []string{"new", "keep"}) || list.Generation != 2 || a.Header().Get("ETag") != `"2"` {
		t.Errorf("%v of generation %d", got, list.Generation)
	}
	if keep := list.Rules[1]; keep.Fired != 1 || keep.Held != 1 || keep.File != "new.toml" {
		t.Errorf("%+v", keep)
	}
	r.dry(far) // it is held still
	r.call("PUT", "/v1/rules", "").want(200)
	r.drain(far, 1) // the rule that held it is gone
	r.call("POST", "/v1/reload", "").want(200).into(&list)
	if got := names(list); !slices.Equal(got, []string{"drop-fin", "keep"}) || list.Generation != 4 {
		t.Errorf("%v of generation %d", got, list.Generation)
	}
}

func TestSetRulesIfUnchanged(t *testing.T) {
	r := newRig(t, dropFin, 1)
	r.call("PUT", "/v1/rules", holdAll, "If-Match", `"1"`).want(200)
	r.call("PUT", "/v1/rules", dropFin, "If-Match", `"1"`).want(412).
		is(`{"error":"the rules have changed since that generation","status":412,"hint":"read the rules again"}`)
	r.call("PUT", "/v1/rules", dropFin, "If-Match", `"x"`).want(400)
	if got := names(r.rules()); !slices.Equal(got, []string{"keep"}) {
		t.Errorf("%v are in force", got)
	}
	r.call("PUT", "/v1/rules", dropFin, "If-Match", "*").want(200)
}

const twoMistakes = "[[rule]]\nname = \"one\"\nmatch = { prot = 80 }\naction = \"drop\"\n[[rule]]\naction = { delay = \"10 ms\" }\n"

// A text with mistakes changes nothing, and all of them are told.
func TestMistakes(t *testing.T) {
	r := newRig(t, dropFin, 1)
	r.files = twoMistakes
	for _, c := range [][3]string{
		{"PUT", "/v1/rules?file=files.toml", twoMistakes},
		{"POST", "/v1/reload", ""},
	} {
		var e client.Error
		r.call(c[0], c[1], c[2]).want(422).into(&e)
		want := []client.Mistake{
			{File: "files.toml", Line: 3, Col: 11, Rule: "one", Key: "match",
				Message: `rule 1 "one": match: unknown key "prot"; did you mean "port"?`,
				Excerpt: "    3 | match = { prot = 80 }\n      |           ^^^^\n"},
			{File: "files.toml", Line: 6, Col: 20, Key: "delay",
				Message: `rule 2: delay: "10 ms" is not a duration; write "10ms"`,
				Excerpt: "    6 | action = { delay = \"10 ms\" }\n      |                    ^^^^^^^\n"},
		}
		if !slices.Equal(e.Mistakes, want) {
			t.Errorf("got\n%+v\nwant\n%+v", e.Mistakes, want)
		}
	}
	if got := r.rules(); got.Generation != 1 || !slices.Equal(names(got), []string{"drop-fin"}) {
		t.Errorf("%+v", got)
	}
}

// Heal ends all, until a rule is enabled again.
func TestHeal(t *testing.T) {
	r := newRig(t, holdAll, 1)
	talk := r.open(4000, 80)
	talk.send(near, wire.ACK, "held")
	r.dry(far)
	r.call("POST", "/v1/heal", "").want(204)
	r.drain(far, 1)
	talk.send(near, wire.ACK, "passes")
	r.drain(far, 1)
	if rule := r.rules().Rules[0]; rule.Enabled || rule.Held != 0 {
		t.Errorf("%+v", rule)
	}
}

// Several files are one set, in their order; mistakes are told of all of them at once.
func TestSetFiles(t *testing.T) {
	r := newRig(t, dropFin, 1)
	put := func(status int, files ...client.File) answered {
		body, err := json.Marshal(client.Files{Files: append([]client.File{}, files...)})
		if err != nil {
			t.Fatal(err)
		}
		return r.call("PUT", "/v1/rules", " \n"+string(body)).want(status)
	}
	var list client.Rules
	put(200, client.File{Name: "a.toml", Text: holdAll}, client.File{Name: "b.toml", Text: "title = \"b\"\n[[rule]]\naction = \"pass\"\n" + dropFin}).into(&list)
	if got := names(list); !slices.Equal(got, []string{"keep", "rule-2", "drop-fin"}) || list.Rules[1].File != "b.toml" || list.Title != "b" {
		t.Errorf("%+v", list)
	}
	var e client.Error
	put(422, client.File{Name: "a.toml", Text: twoMistakes}, client.File{Name: "b.toml", Text: holdAll}, client.File{Name: "c.toml", Text: holdAll + "x = 1\n"}).into(&e)
	var places []string
	for _, m := range e.Mistakes {
		places = append(places, fmt.Sprintf("%s:%d:%d", m.File, m.Line, m.Col))
	}
	if want := []string{"a.toml:3:11", "a.toml:6:20", "c.toml:2:8", "c.toml:5:1"}; !slices.Equal(places, want) {
		t.Errorf("mistakes at %q, want %q", places, want)
	}
	if got := r.rules(); got.Generation != 2 {
		t.Errorf("generation %d after mistakes", got.Generation)
	}
	put(200).into(&list)
	if len(list.Rules) != 0 {
		t.Errorf("%v are in force", names(list))
	}
}

// Of reloads at the same time the one that has read the files last has the last word.
func TestReloadsAtOnce(t *testing.T) {
	r := newRig(t, dropFin, 1)
	reading, others := make(chan struct{}), make(chan struct{})
	var reads atomic.Int32
	r.load = func() (*rules.Set, error) {
		if reads.Add(1) > 1 {
			return rules.Parse("new.toml", holdAll)
		}
		set, err := rules.Parse("old.toml", dropFin)
		close(reading)
		select {
		case <-others:
		case <-time.After(50 * time.Millisecond): // they wait for us
		}
		return set, err
	}
	first := make(chan error)
	go func() { first <- r.Reload() }()
	<-reading
	go func() {
		defer close(others)
		if err := r.Reload(); err != nil {
			t.Error(err)
		}
	}()
	if err := <-first; err != nil {
		t.Error(err)
	}
	<-others
	if got := names(r.rules()); !slices.Equal(got, []string{"keep"}) {
		t.Errorf("%v are in force", got)
	}
}

// Files that cannot be read are a mistake like others, and stand beside them.
func TestReloadOfUnreadableFiles(t *testing.T) {
	r := newRig(t, dropFin, 1)
	gone := errors.New("open b.toml: no such file or directory")
	_, mistakes := rules.Parse("a.toml", twoMistakes)
	for _, row := range []struct {
		err      error
		message  string
		mistakes int
	}{
		{gone, gone.Error(), 0},
		{errors.Join(mistakes, gone), "there are mistakes in the rules; nothing has changed; open b.toml: no such file or directory", 2},
	} {
		r.load = func() (*rules.Set, error) { return nil, row.err }
		var e client.Error
		r.call("POST", "/v1/reload", "").want(422).into(&e)
		if e.Message != row.message || len(e.Mistakes) != row.mistakes {
			t.Errorf("%+v", e)
		}
	}
}
