package lab

import (
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// A step is something that happens besides, once its time has come.
type step struct {
	want pair          // states that one connection must be in, if any is given
	rule string        // or the rule that must have fired
	at   time.Duration // or the time since the start

	do   string // kill, restart, destroy, enable, disable, release, heal
	side int    // of the first three
	what string // the rule of the next three
	text string // as the file says it
}

// String is the step as results write it.
func (s *step) String() string {
	switch {
	case s.rule != "":
		return s.text + " when " + s.rule + " has fired"
	case s.want != pair{}:
		return s.text + " when " + s.want.String()
	}
	return s.text + " at " + s.at.String()
}

// step reads one [[step]].
func (r *reader) step(t *tomldoc.Table) *step {
	s := &step{}
	at, timed := t.Value("at")
	if timed {
		s.at, _ = at.Duration()
	}
	if when, ok := t.Table("when"); ok {
		r.when(s, when)
	}
	switch {
	case timed && t.Has("when"):
		at.Errorf(`"at" and "when" (line %d) exclude each other`, t.KeyPlace("when").Line)
	case !timed && !t.Has("when"):
		t.Errorf("", `needs "when" or "at"`)
	}
	if v, ok := t.Value("do"); ok {
		r.do(s, v)
	} else {
		t.Errorf("", `needs "do"`)
	}
	return s
}

func (r *reader) when(s *step, t *tomldoc.Table) {
	s.want = readPair(t)
	if v, ok := t.Value("rule"); ok {
		s.rule = r.ruleName(v)
		if (s.want != pair{}) {
			v.Errorf("a rule and states exclude each other")
		}
	} else if (s.want == pair{}) {
		t.Errorf("", "needs client, server or rule")
	}
}

// stepVerbs tells what each thing to do is done to.
var stepVerbs = map[string]string{
	"kill": "SIDE", "restart": "SIDE", "destroy": "SIDE",
	"enable": "RULE", "disable": "RULE", "release": "RULE", "heal": "",
}

// do reads "kill server", "enable RULE" or "heal".
func (r *reader) do(s *step, v tomldoc.Value) {
	text, ok := v.Text()
	if !ok {
		return
	}
	verb, what, _ := strings.Cut(text, " ")
	what = strings.TrimSpace(what)
	object, known := stepVerbs[verb]
	s.text, s.do, s.what = text, verb, what
	switch {
	case !known:
		v.Errorf("unknown step %q%s", verb, didYouMean(verb, []string{"kill", "restart", "destroy", "enable", "disable", "release", "heal"}))
	case object == "" && what != "":
		v.Errorf("%s stands alone", verb)
	case object == "SIDE":
		var err error
		if s.side, err = side(what); err != nil {
			v.Errorf("%s: %w", verb, err)
		} else if r.file.hosts[s.side] == nil && verb != "destroy" {
			v.Errorf("there is no [%s]", what)
		}
	case object == "RULE" && r.file.Rules.Rule(what) == nil:
		v.Errorf("there is no rule %q%s", what, didYouMean(what, r.ruleNames()))
	}
}
