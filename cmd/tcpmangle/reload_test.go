package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/rules"
)

const (
	aRule   = "[[rule]]\nname = \"one\"\nmatch = { port = 7000 }\naction = \"pass\"\n"
	aProxy  = "[[proxy]]\naddress = \"198.18.0.2:7000\"\nupstream = \"127.0.0.1:7000\"\n"
	aFiring = "[[expect]]\nrule = \"one\"\nfired = \">= 1\"\n"
)

// A box that is there takes rules; what only a start can do is refused, and never dropped without a word.
func TestIntake(t *testing.T) {
	started, err := parseRules([]rules.Text{{File: "start.toml", Text: aRule + aProxy + aFiring}})
	nstest.Must(t, err)
	in := &intake{started: started.labs, admits: func(set *rules.Set) error {
		if len(set.Rules) > 2 {
			return errors.New("too many rules")
		}
		return nil
	}}
	for _, row := range []struct{ name, a, b, want string }{
		{"rules", aRule, strings.ReplaceAll(aRule, "one", "two"), ""},
		{"those of the start", aRule + aProxy + aFiring, "", ""},
		{"mistakes in both", "[[rul]]\n", "[[expct]]\n", "a.toml:1:3: unknown key \"rul\"; did you mean \"rule\"? b.toml:1:3: unknown key \"expct\"; did you mean \"expect\"?"},
		{"one name twice", aRule, aRule, `b.toml:2:8: rule 1 "one": name: "one" is already the name of the rule at a.toml:2`},
		{"another proxy", aRule, strings.ReplaceAll(aProxy, "7000", "7001"), "b.toml: the [[proxy]] to 127.0.0.1:7001 is not among those of the start; a reload changes rules only"},
		{"another expectation", aRule + strings.ReplaceAll(aFiring, "1", "2"), "", "a.toml: the expectation rule one fired >=2 is not among those of the start; a reload changes rules only"},
		{"a lab", aRule + "[client]\nscript = \"connect server:7000\"\n[[expect]]\nclient = \"ESTABLISHED\"\n", "", "a.toml: it has a [client] or a [server]: only a lab can run them"},
		{"what only a command can do", aRule, "[[expect]]\nexit = \"client: 0\"\n", "b.toml: exit client: 0: there is no command that it could be about; tcpmangle exec has one"},
		{"hosts", aRule, "[server]\nscript = \"listen 7000\"\n", "b.toml: it has a [client] or a [server]: only a lab can run them"},
		{"what the way in refuses", aRule, strings.ReplaceAll(aRule, "one", "two") + strings.ReplaceAll(aRule, "one", "three"), "too many rules"},
	} {
		set, err := in.read(rules.Text{File: "a.toml", Text: row.a}, rules.Text{File: "b.toml", Text: row.b})
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if got != row.want {
			t.Errorf("%s\ngot  %s\nwant %s", row.name, got, row.want)
		}
		if err == nil && len(set.Rules) == 0 {
			t.Errorf("%s: no rules", row.name)
		}
	}
}

// What came from a pipe, or the like, is empty when it is read again: the rules stay.
func TestIntakeAgain(t *testing.T) {
	file := written(t, "r.toml", aRule)
	if set, err := (&intake{paths: []string{file}}).again(); err != nil || len(set.Rules) != 1 {
		t.Errorf("%v, %v", set, err)
	}
	_, err := (&intake{paths: []string{file, os.DevNull}}).again()
	is(t, fmt.Sprint(err), "/dev/null: it is no regular file, and cannot be read again")
}

// By whomever its files are reloaded, the instance says so; without files there is nothing to read again.
func TestReloadIsTold(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	file := written(t, "r.toml", aRule)
	reload := func(status int, api string, args ...string) string {
		t.Helper()
		o := finish(t, command(t, append([]string{"reload", "--api", api}, args...)...))
		o.wants(t, status)
		return o.stderr
	}
	args, api := runArgs(t, "-f", file, "--proxy", "198.18.0.2:1=127.0.0.1:1")
	s := stand(t, host, command(t, args...))
	for _, files := range [][]string{nil, {file}} {
		reload(0, api.Address(), files...)
		s.await(t, "tcpmangle: the rules are reloaded")
	}
	lab := written(t, "lab.toml", aRule+"[server]\nscript = \"listen 7000\"\n")
	has(t, "a lab", reload(2, api.Address(), lab), "lab.toml: it has a [client] or a [server]: only a lab can run them\n")
	_, err := api.NewLease(t.Context(), client.LeaseRequest{Rules: aRule + "[server]\nscript = \"listen 7000\"\n"})
	if !client.IsStatus(err, 422) {
		t.Errorf("a lab for a lease: %v", err)
	}
	list, err := api.Rules(t.Context())
	if err != nil || list.Generation != 3 {
		t.Errorf("%+v, %v", list, err)
	}
	s.end(t, syscall.SIGTERM).wants(t, 0)

	args, api = runArgs(t, "--proxy", "198.18.0.2:1=127.0.0.1:1")
	s = stand(t, host, command(t, args...))
	is(t, reload(2, api.Address()), "tcpmangle: this instance has no rule files\nhint: tcpmangle reload FILE, or PUT /v1/rules, sets them\n")
	nstest.Must(t, s.Process.Signal(syscall.SIGHUP))
	s.await(t, "tcpmangle: this instance has no rule files; the rules stay as they were")
	s.end(t, syscall.SIGTERM).wants(t, 0)
}

// Where nobody may listen, nothing begins.
func TestRunAddresses(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	before := nstest.Face(t, host)
	for flags, want := range map[string]string{
		"--api 0.0.0.0:0":                        "tcpmangle: api: an API that is not on loopback needs a token; set $TCPMANGLE_TOKEN\n",
		"--api off --toxiproxy 192.0.2.1:8474":   "tcpmangle: toxiproxy: listen tcp 192.0.2.1:8474: bind: cannot assign requested address\n",
		"--api off --toxiproxy 127.0.0.1:999999": "tcpmangle: toxiproxy: listen tcp: address 999999: invalid port\n",
	} {
		o := finishOn(t, host, command(t, append([]string{"run", "--proxy", "198.18.0.2:1=127.0.0.1:1"}, strings.Fields(flags)...)...))
		o.wants(t, 2)
		if !strings.HasPrefix(o.stderr, want) || strings.Contains(o.stderr, "inline") {
			t.Errorf("%s: %s", flags, o.stderr)
		}
	}
	nstest.SameFace(t, host, before)
}

// Events are followed from one instance to the next, though the first is killed.
func TestEventsFollow(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	args, api := runArgs(t, "--proxy", "198.18.0.2:1=127.0.0.1:1")
	events := command(t, "events", "-f", "--type", "reload", "--api", api.Address())
	out, err := events.StdoutPipe()
	nstest.Must(t, err)
	var errs strings.Builder
	events.Stderr = &errs
	nstest.Must(t, events.Start())
	defer time.AfterFunc(3*patience, func() { events.Process.Kill() }).Stop() // or the test would wait for an event that is lost
	for i := range 2 {
		s := stand(t, host, command(t, args...))
		awaitListener(t, &running{api: api.Address()})
		_, err := api.SetRules(t.Context(), "x", aRule)
		nstest.Must(t, err)
		if line := make([]byte, 100); i == 0 {
			n, err := out.Read(line)
			has(t, fmt.Sprint(err), string(line[:n]), " reload")
			nstest.Must(t, s.Process.Kill())
			s.Wait()
			continue
		}
		s.end(t, syscall.SIGTERM).wants(t, 0)
	}
	nstest.Must(t, events.Process.Signal(os.Interrupt))
	rest, _ := io.ReadAll(out)
	if err := events.Wait(); err != nil || errs.Len() > 0 || strings.Count(string(rest), " reload") != 1 {
		t.Errorf("%v, standard error %s, events %s", err, &errs, rest)
	}
}
