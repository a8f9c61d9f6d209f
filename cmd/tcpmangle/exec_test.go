package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// executing prepares tcpmangle exec with flags and a command.
func executing(t testing.TB, flags []string, argv ...string) *exec.Cmd {
	t.Helper()
	return command(t, slices.Concat([]string{"exec"}, flags, []string{"--"}, argv)...)
}

const firstSYNLost = `
[[rule]]
name   = "first-syn"
match  = { segment = "syn" }
nth    = 1
action = "drop"

[[expect]]
rule  = "first-syn"
fired = 1

[[expect]]
client = "TIME_WAIT"

[[expect]]
exit = "client: 0"
`

// A command's connection takes a second longer where its first SYN is lost.
func TestExecThroughAFault(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	echo(t, host, "127.0.0.1:7000")
	before := nstest.Face(t, host)
	rules := written(t, "syn.toml", firstSYNLost)
	o := finishOn(t, host, executing(t, []string{"-f", rules}, probing(t, inline.HostName+":7000")...))
	o.wants(t, 0)
	m := regexp.MustCompile(`^ping from 10\.78\.0\.1:7000 in (\d+) ms\n$`).FindStringSubmatch(o.stdout)
	if m == nil {
		t.Fatalf("the command said %q", o.stdout)
	}
	if ms, _ := strconv.Atoi(m[1]); ms < 1000 {
		t.Errorf("connecting took %d ms, less than the time to repeat a SYN", ms)
	}
	has(t, "report", o.stderr, "PASS  rule first-syn fired 1  (at ", "PASS  client TIME_WAIT  (at ", "PASS  exit client: 0  (at ", "seed 1\n")
	nstest.SameFace(t, host, before)
}

// In a namespace of users, as a container without root has one, there are things that only the
// machine's root may do; the command's exit status is its own all the same.
func TestExecInAUserNamespace(t *testing.T) {
	needRoot(t)
	if err := netns.CheckUserNS(); err != nil {
		lacking(t, "TCPMANGLE_REQUIRE_TUN", err.Error())
	}
	cmd := executing(t, []string{"-f", written(t, "none.toml", "")}, "true")
	root := []syscall.SysProcIDMap{{Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS, UidMappings: root, GidMappings: root,
	}
	o := finish(t, cmd)
	o.wants(t, 0)
	has(t, "report", o.stderr, "seed 1\n")
}

// The exit status is the command's, and 1 where only the expectations failed.
func TestExecStatus(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	rules := written(t, "syn.toml", firstSYNLost)
	for _, row := range []struct {
		name   string
		flags  []string
		argv   []string
		status int
		stderr string
	}{
		{"done", nil, []string{"true"}, 0, ""},
		{"its own", nil, []string{"sh", "-c", "exit 3"}, 3, ""},
		{"a signal", nil, []string{"sh", "-c", "kill -TERM $$"}, 143, ""},
		{"not found", nil, []string{"no-such-command"}, 127, "tcpmangle: exec: \"no-such-command\": executable file not found"},
		{"not to be run", nil, []string{"/etc/hosts"}, 126, "tcpmangle: exec: \"/etc/hosts\": permission denied"},
		{"its own before ours", []string{"-f", rules}, []string{"sh", "-c", "exit 3"}, 3, "FAIL  exit client: 0\n      it ended with 3 at "},
		{"ours", []string{"-f", rules, "--linger", "0s"}, []string{"true"}, 1,
			"FAIL  rule first-syn fired 1\n      it fired 0 times\nFAIL  client TIME_WAIT\n      at "},
		{"never fired", []string{"-f", rules, "--linger", "0s"}, []string{"true"}, 1, "FAIL  rule \"first-syn\" never fired; "},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := finishOn(t, host, executing(t, row.flags, row.argv...))
			o.wants(t, row.status)
			has(t, "standard error", o.stderr, row.stderr)
		})
	}
}

func TestExecJSON(t *testing.T) {
	needRoot(t)
	rules := written(t, "syn.toml", firstSYNLost)
	o := finishOn(t, nstest.New(t), executing(t, []string{"-f", rules, "--json", "--seed", "7", "--linger", "0s"}, "sh", "-c", "exit 3"))
	o.wants(t, 3)
	var report struct {
		Verdict      string
		Seed, Status int
		Expectations []struct{ Text, Verdict string }
	}
	if err := json.Unmarshal([]byte(o.stderr), &report); err != nil || report.Verdict != "fail" || report.Seed != 7 || report.Status != 3 || len(report.Expectations) != 3 {
		t.Errorf("%+v, %v of\n%s", report, err, o.stderr)
	}
}

// Signals are the command's.
func TestExecPassesSignals(t *testing.T) {
	needRoot(t)
	cmd := executing(t, nil, "sh", "-c", `trap "exit 5" TERM; echo up; read never`)
	stdin, err := cmd.StdinPipe() // never written to
	nstest.Must(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	nstest.Must(t, err)
	on(t, nstest.New(t), cmd)
	up := make([]byte, 3)
	if _, err := io.ReadFull(stdout, up); err != nil {
		t.Fatal(err)
	}
	nstest.Must(t, cmd.Process.Signal(syscall.SIGTERM))
	if status := statusOf(t, cmd.Wait()); status != 5 {
		t.Errorf("exit status %d, want the command's 5", status)
	}
}

// Names resolve as on the host, also where its resolver is on its loopback; and what a name
// leads to is reached in the host's name.
func TestExecResolvesNames(t *testing.T) {
	needRoot(t)
	host, elsewhere := nstest.New(t), nstest.New(t)
	of4, _ := nstest.Wire(t, 0, host, elsewhere)
	nstest.Gateway(t, host, "eth0")
	echo(t, elsewhere, netip.AddrPortFrom(of4, 7000).String())
	resolver(t, host, "127.0.0.53:53", of4)
	cmd := executing(t, nil, probing(t, "db.test:7000")...)
	cmd.Env = append(cmd.Env, testRole+"="+roleHost, resolvVar+"="+written(t, "resolv.conf", "nameserver 127.0.0.53\n"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	o := finishOn(t, host, cmd)
	o.wants(t, 0)
	has(t, "the command", o.stdout, fmt.Sprintf("ping from %v:7000 in ", of4))
}

// The command finds the API, and may switch rules by it.
func TestExecHasAnAPI(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	echo(t, host, "127.0.0.1:7000")
	rules := written(t, "refuse.toml", "[[rule]]\nname = \"refuse\"\nenabled = false\nmatch = { segment = \"syn\" }\naction = { reset = \"client\" }\n")
	exe := strings.Join(probing(t, inline.HostName+":7000"), " ")
	us := testRole + "=" + roleCommand + " " + probing(t)[2]
	socket := nstest.Socket(t)
	o := finishOn(t, host, executing(t, []string{"-f", rules, "--api", socket}, "sh", "-c",
		us+" rules enable refuse; "+exe+"; "+us+" heal; "+exe))
	o.wants(t, 0)
	has(t, "the command", o.stdout, "ECONNREFUSED\nping from ")
}

// Two at once, and what the first one needed still is there for the second.
func TestExecTwice(t *testing.T) {
	needRoot(t)
	host, elsewhere := nstest.New(t), nstest.New(t)
	of4, _ := nstest.Wire(t, 0, host, elsewhere)
	nstest.Gateway(t, host, "eth0")
	echo(t, elsewhere, netip.AddrPortFrom(of4, 7000).String())
	before := nstest.Face(t, host)
	first := executing(t, nil, "sh", "-c", "echo up; read never")
	stdin, err := first.StdinPipe()
	nstest.Must(t, err)
	stdout, err := first.StdoutPipe()
	nstest.Must(t, err)
	on(t, host, first)
	if _, err := io.ReadFull(stdout, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	second := executing(t, nil, "sh", "-c", "echo up; read line; exec "+strings.Join(probing(t, netip.AddrPortFrom(of4, 7000).String()), " "))
	stdin2, err := second.StdinPipe()
	nstest.Must(t, err)
	stdout2, err := second.StdoutPipe()
	nstest.Must(t, err)
	on(t, host, second)
	if _, err := io.ReadFull(stdout2, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	nstest.Must(t, stdin.Close())
	if status := statusOf(t, first.Wait()); status != 1 { // read has met the end
		t.Errorf("the first one ended with %d", status)
	}
	fmt.Fprintln(stdin2, "go")
	said, err := io.ReadAll(stdout2)
	if err != nil || statusOf(t, second.Wait()) != 0 {
		t.Errorf("the second one said %q, %v", said, err)
	}
	nstest.SameFace(t, host, before)
}

// Of an exec that is killed nothing is left but switches, and these the next one puts back.
// Its command dies with it.
func TestExecIsKilled(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	before := nstest.Face(t, host)
	cmd := executing(t, nil, "sh", "-c", "echo up; read never")
	stdin, err := cmd.StdinPipe()
	nstest.Must(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	nstest.Must(t, err)
	on(t, host, cmd)
	if _, err := io.ReadFull(stdout, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	nstest.Must(t, cmd.Process.Kill())
	if rest, err := io.ReadAll(stdout); err != nil || len(rest) > 0 { // ends when nobody has it open
		t.Errorf("the command said %q, %v", rest, err)
	}
	cmd.Wait()
	onlySwitches(t, before, nstest.Face(t, host))
	finishOn(t, host, executing(t, nil, "true")).wants(t, 0)
	nstest.SameFace(t, host, before)
}

// onlySwitches fails if more than sysctls differs.
func onlySwitches(t testing.TB, before, after []string) {
	t.Helper()
	for _, line := range nstest.Differences(before, after) {
		if !strings.Contains(line, ": /proc/sys/net/") {
			t.Error(line)
		}
	}
}

// Without root exec says so.
func TestExecWithoutRoot(t *testing.T) {
	if !netns.Has(netns.SysAdmin) {
		t.Skip("needs root, to take rights away")
	}
	cmd := executing(t, nil, "true")
	cmd.Dir = readable(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	o := finish(t, cmd)
	o.wants(t, 3)
	has(t, "standard error", o.stderr, "hint: run as root")
}
