package lab

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

const outsideFile = `
[[rule]]
name   = "lose"
action = "drop"
[[expect]]
rule  = "lose"
fired = 2
[[expect]]
rule   = "lose"
fired  = 1
within = "1s"
`

func mustParse(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse("f.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Of rules the count at the end decides, and that within a time once it is over.
func TestTrialOfRules(t *testing.T) {
	fired := uint64(0)
	trial, err := NewTrial([]*File{mustParse(t, outsideFile)}, false)
	if err != nil {
		t.Fatal(err)
	}
	trial.Begin(func(string) uint64 { return fired }, nil)
	if !trial.Open() {
		t.Error("nothing is open at the start")
	}
	for _, step := range []struct {
		at    time.Duration
		fired uint64
		open  bool
	}{{0, 0, true}, {900 * time.Millisecond, 1, true}, {1100 * time.Millisecond, 1, true}, {2 * time.Second, 2, false}} {
		fired = step.fired
		if err := trial.Look(step.at); err != nil || trial.Open() != step.open {
			t.Errorf("at %v: open %v, %v", step.at, trial.Open(), err)
		}
	}
	got, err := trial.Close(3*time.Second, 0)
	if err != nil || len(got) != 2 || !got[0].OK || !got[1].OK {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTrialFails(t *testing.T) {
	trial, err := NewTrial([]*File{mustParse(t, outsideFile+"[[expect]]\nexit = 'client: 3'\n")}, true)
	if err != nil {
		t.Fatal(err)
	}
	trial.Begin(func(string) uint64 { return 3 }, nil)
	got, err := trial.Close(time.Second, 4)
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, why := range []string{"it fired 3 times", "it fired 3 times", "it ended with 4 at 1.000s"} {
		if got[i].OK || got[i].Why != why {
			t.Errorf("%+v, want a failure: %s", got[i], why)
		}
	}
}

// States are those of the command's own kernel; what it says to itself is nobody's business.
func TestTrialOfStates(t *testing.T) {
	if err := netns.Check(); err != nil {
		t.Skip(err)
	}
	ns, err := netns.Here()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	trial, err := NewTrial([]*File{mustParse(t, "[[expect]]\nclient = 'LISTEN'\n")}, true)
	if err != nil {
		t.Fatal(err)
	}
	trial.Begin(nil, ns)
	if err := trial.Look(0); err != nil || trial.Open() {
		t.Errorf("a listener is not seen: %v", err)
	}
}

func TestTrialRefuses(t *testing.T) {
	const aLab = "[client]\nrun = ['true']\n[server]\nrun = ['true']\n"
	for _, row := range []struct {
		expect, want string
		command      bool
	}{
		{"server = 'CLOSED'", "f.toml: server CLOSED: only a lab can tell", true},
		{"exit = 'server: 0'", "f.toml: exit server: 0: only a lab can tell", true},
		{"stdout = 'client: ^ok'", "f.toml: stdout client: ^ok: only a lab can tell", true},
		{"client = 'CLOSED'", "f.toml: client CLOSED: there is no command", false},
		{"exit = 'client: 0'", "f.toml: exit client: 0: there is no command", false},
	} {
		_, err := NewTrial([]*File{mustParse(t, aLab+"[[expect]]\n"+row.expect+"\n")}, row.command)
		if err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", row.expect, err, row.want)
		}
	}
}

// What a rule's expectation allows is no failure besides.
func TestTrialExpects(t *testing.T) {
	trial, err := NewTrial([]*File{mustParse(t, "[[rule]]\nname = 'a'\naction = 'drop'\n[[expect]]\nrule = 'a'\nfired = 0\n")}, false)
	if err != nil {
		t.Fatal(err)
	}
	if !trial.Expects("a") || trial.Expects("b") {
		t.Errorf("a %v, b %v", trial.Expects("a"), trial.Expects("b"))
	}
}
