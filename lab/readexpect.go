package lab

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/script"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A spec is one expectation as the file has it.
type spec interface {
	// String is the expectation as results write it.
	String() string
	// check begins to judge it; each run has its own.
	check() check
}

// limit is the time within which an expectation must come true; 0: until the end.
type limit time.Duration

func (l limit) String() string {
	if l == 0 {
		return ""
	}
	return fmt.Sprintf(" within %v", time.Duration(l))
}

func (l limit) over(at time.Duration) bool { return l > 0 && at > time.Duration(l) }

// expectKinds are the keys one of which says what an expectation is about.
var expectKinds = []string{"client", "server", "rule", "error", "exit", "stdout", "stderr"}

// expect reads one [[expect]]; nil if it is none.
func (r *reader) expect(t *tomldoc.Table) spec {
	within := readLimit(t)
	kind := ""
	for _, key := range expectKinds {
		if !t.Has(key) {
			continue
		}
		if kind != "" && !(kind == "client" && key == "server") {
			t.Errorf(key, `%q and %q (line %d) want an [[expect]] each`, key, kind, t.KeyPlace(kind).Line)
			continue
		}
		kind = key
	}
	if kind != "client" && kind != "server" {
		misplaced(t, "connections", "client or server")
		misplaced(t, "lasts", "client or server")
	}
	if kind != "rule" {
		misplaced(t, "fired", "rule")
	}
	if !r.file.IsLab() && kind != "" && !outside(t, kind) {
		t.Errorf(kind, "%v, and the file has neither [client] nor [server]", errOutside)
	}
	switch kind {
	case "client", "server":
		return stateExpectation(t, within)
	case "rule":
		return r.firedExpectation(t, within)
	case "":
		t.Errorf("", "says nothing; it needs one of %s", strings.Join(expectKinds, ", "))
		return nil
	}
	return r.sideExpectation(t, kind, within)
}

// misplaced reports a key that only makes sense together with another.
func misplaced(t *tomldoc.Table, key, with string) {
	if t.Has(key) {
		t.Errorf(key, "goes with %s", with)
	}
}

func readLimit(t *tomldoc.Table) limit {
	if v, ok := t.Value("within"); ok {
		return limit(positive(v))
	}
	return 0
}

func stateExpectation(t *tomldoc.Table, within limit) spec {
	s := &stateSpec{want: readPair(t), within: within}
	s.lasts, _ = t.Duration("lasts")
	if v, ok := t.Value("connections"); ok {
		s.connections = readRange(v)
	}
	return s
}

// readRange reads a number, or its text form as ">= 2".
func readRange(v tomldoc.Value) rules.Ranges {
	switch n := v.Any().(type) {
	case int64:
		if n < 0 {
			v.Errorf("%d is negative", n)
		}
		return rules.Ranges{{Lo: n, Hi: n}}
	case string:
		ranges, err := rules.ParseRanges(n)
		if err != nil {
			v.Errorf("%w", err)
		}
		return ranges
	}
	v.Errorf(`must be a number or range like 5, "2-4" or ">= 3"`)
	return nil
}

func (r *reader) firedExpectation(t *tomldoc.Table, within limit) spec {
	s := &firedSpec{within: within, fired: rules.Ranges{{Lo: 1, Hi: math.MaxInt64}}}
	v, _ := t.Value("rule")
	s.rule = r.ruleName(v)
	if v, ok := t.Value("fired"); ok {
		s.fired = readRange(v)
	}
	return s
}

// ruleName reads the name of a rule of this file.
func (r *reader) ruleName(v tomldoc.Value) string {
	name, ok := v.Text()
	if ok && r.file.Rules.Rule(name) == nil {
		v.Errorf("there is no rule %q%s", name, didYouMean(name, r.ruleNames()))
	}
	return name
}

func (r *reader) ruleNames() (names []string) {
	for _, rule := range r.file.Rules.Rules {
		names = append(names, rule.Name)
	}
	return names
}

// sideExpectation reads what is about one host's script or program: "client: WHAT",
// or a table by hosts.
func (r *reader) sideExpectation(t *tomldoc.Table, kind string, within limit) spec {
	v, _ := t.Value(kind)
	var all sideSpecs
	add := func(side int, what tomldoc.Value, text string) {
		if r.wrongActor(what, kind, side) {
			return
		}
		if s := newSideSpec(what, kind, side, text, within); s != nil {
			all = append(all, s)
		}
	}
	if _, ok := v.Any().(map[string]any); ok {
		below, _ := v.Table()
		for i, name := range sideNames {
			if what, ok := below.Value(name); ok {
				add(i, what, fmt.Sprint(what.Any()))
			}
		}
		if len(below.Keys()) == 0 {
			v.Errorf("names neither client nor server")
		}
	} else if text, ok := v.Text(); ok {
		name, what, _ := strings.Cut(text, ":")
		i, err := side(strings.TrimSpace(name))
		if err != nil || strings.TrimSpace(what) == "" {
			v.Errorf(`%q is not like "client: %s"`, text, sideExamples[kind])
		} else {
			add(i, v, strings.TrimSpace(what))
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}

var sideExamples = map[string]string{"error": "ECONNRESET", "exit": "0", "stdout": "^ready", "stderr": "^ready"}

// wrongActor reports an expectation of a program about a script, and the other way round.
func (r *reader) wrongActor(v tomldoc.Value, kind string, side int) bool {
	h := r.file.hosts[side]
	switch {
	case !r.file.IsLab():
		return kind != "exit" || side != clientSide // which has been reported
	case h == nil:
		v.Errorf("there is no [%s]", sideNames[side])
	case kind == "error" && len(h.run) > 0:
		v.Errorf("the %s runs a program; expect its exit, stdout or stderr", sideNames[side])
	case kind != "error" && h.script != nil:
		v.Errorf("the %s runs a script; expect its error", sideNames[side])
	default:
		return false
	}
	return true
}

// newSideSpec makes the expectation of a kind; nil if the text is wrong.
func newSideSpec(v tomldoc.Value, kind string, side int, text string, within limit) spec {
	switch kind {
	case "error":
		if names := script.ErrorNames(); !slices.Contains(names, text) {
			v.Errorf("unknown error %q%s", text, didYouMean(text, names))
		}
		return &errorSpec{side, text, within}
	case "exit":
		code, err := strconv.ParseUint(text, 10, 8)
		if err != nil {
			v.Errorf("%q is not an exit status", text)
			return nil
		}
		return &exitSpec{side, int(code), within}
	}
	re, err := regexp.Compile(text)
	if err != nil {
		v.Errorf("%w", err)
		return nil
	}
	return &outputSpec{side, kind, re, within}
}
