package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Calls whose every byte is kept, silence included.
var calls = []struct {
	name   string
	args   string
	status int
}{
	// Help, of each command and topic.
	{"nothing", "", 0},
	{"help", "help", 0},
	{"help-help", "help help", 0},
	{"help-lab", "lab --help", 0},
	{"help-exec", "exec --help", 0},
	{"help-run", "run --help", 0},
	{"help-doctor", "help doctor", 0},
	{"help-check", "check --help", 0},
	{"help-play", "play -h", 0},
	{"help-replay", "help replay", 0},
	{"help-bench", "help bench", 0},
	{"help-version", "help version", 0},
	{"help-conns", "help conns", 0},
	{"help-kill", "help kill", 0},
	{"help-rules", "rules --help", 0},
	{"help-reload", "help reload", 0},
	{"help-heal", "help heal", 0},
	{"help-wait", "help wait", 0},
	{"help-events", "help events", 0},
	{"topic-rules", "help rules", 0},
	{"topic-lab", "help lab", 0},
	{"topic-scripts", "help scripts", 0},
	{"topic-kinds", "help kinds", 0},
	{"topic-actions", "help actions", 0},
	{"help-of-an-action", "help delay", 0},
	{"complete-kill-by", "__complete kill --by f", 0},
	{"complete-events-type", "__complete events --type rule,s", 0},

	// Mistakes in the call.
	{"unknown-command", "chek testdata/good.toml", 2},
	{"unknown-command-far", "frobnicate", 2},
	{"unknown-topic", "help frobnicate", 2},
	{"unknown-topic-near", "help action", 2},
	{"unknown-topic-below", "help lab frobnicate", 2},
	{"topic-as-command", "kinds", 2},
	{"unknown-flag", "--frobnicate", 2},
	{"unknown-flag-of-command", "check --jsn testdata/good.toml", 2},
	{"version-argument", "version 1", 2},
	{"flag-of-two-values", "check --json=maybe testdata/good.toml", 2},
	{"completion-unknown", "completion bsh", 2},
	{"check-nothing", "check", 2},
	{"check-schema-of-a-file", "check --schema testdata/good.toml", 2},
	{"check-unreadable", "check testdata/good.toml testdata/nowhere.toml", 2},
	{"check-unreadable-among-bad", "check testdata/nowhere.toml testdata/late-fin.toml testdata/nor-here.toml", 2},
	{"check-unreadable-among-bad-json", "check --json testdata/nowhere.toml testdata/late-fin.toml", 2},
	{"check-two-unreadable", "check testdata/nowhere.toml testdata/nor-here.toml", 2},
	{"check-empty-folder", "check testdata/golden", 2},
	{"exec-nothing", "exec -f testdata/good.toml --", 2},
	{"exec-mistakes", "exec -f testdata/late-fin.toml -- true", 2},
	{"exec-of-a-lab", "exec -f testdata/exchange.toml -- true", 2},
	{"exec-not-found", "exec -- no-such-command", 127},
	{"exec-linger", "exec --linger 5 -- true", 2},
	{"exec-linger-negative", "exec --linger=-5s -- true", 2},
	{"exec-over-its-rules", "exec -f testdata/good.toml --pcap testdata/good.toml -- true", 2},
	{"run-nothing", "run", 2},
	{"run-argument", "run redis", 2},
	{"run-no-port", "run -f testdata/any-port.toml", 2},
	{"run-of-a-command", "run -f testdata/exec.toml", 2},
	{"run-two-namespaces", "run --netns web --pid 1", 2},
	{"run-namespace-and-proxy", "run --netns web --proxy 198.18.0.2:80=127.0.0.1:80", 2},
	{"run-ports-and-proxy", "run --port 80 --proxy 198.18.0.2:80=127.0.0.1:80", 2},
	{"run-proxy", "run --proxy 198.18.0.2:80", 2},
	{"run-proxy-of-a-name", "run --proxy redis:80=127.0.0.1:80", 2},
	{"run-pid", "run --pid web", 2},
	{"run-pid-large", "run --pid 99999999999999999999", 2},
	{"run-pid-zero", "run --port 80 --pid 0", 2},
	{"run-netns-empty", "run --port 80 --netns=", 2},
	{"run-container-empty", "run --port 80 --container=", 2},
	{"run-port-empty", "run --port=", 2},
	{"run-port", "run --port 80,http", 2},
	{"run-port-zero", "run --port 0-80", 2},
	{"doctor-argument", "doctor house", 2},
	{"conns-argument", "conns 1", 2},
	{"conns-address", "conns --api nowhere", 2},
	{"conns-not-running", "conns --api testdata/nowhere.sock", 3},
	{"kill-nothing", "kill", 2},
	{"kill-both", "kill 1 --port 80", 2},
	{"kill-empty", "kill --port 80 --client=", 2},
	{"kill-no-number", "kill all", 2},
	{"kill-by", "kill 1 --by magic", 2},
	{"kill-forget-to", "kill 1 --by forget --to client", 2},
	{"rules-unknown", "rules frobnicate", 2},
	{"rules-enable-nothing", "rules enable", 2},
	{"reload-two", "reload a.toml b.toml", 2},
	{"reload-unreadable", "reload --api testdata/nowhere.sock testdata/nowhere.toml", 2},
	{"play-nothing", "play", 2},
	{"play-unreadable", "play testdata/nowhere.ladder", 2},
	{"play-seed", "play --seed -1 testdata/pass.ladder", 2},
	{"lab-nothing", "lab", 2},
	{"lab-unreadable", "lab testdata/nowhere.toml", 2},
	{"lab-rules-only", "lab testdata/good.toml", 2},
	{"lab-folder-without-labs", "lab testdata/folder", 2},
	{"lab-ip", "lab --ip 5 testdata/exchange.toml", 2},
	{"lab-repeat", "lab --repeat 0 testdata/exchange.toml", 2},
	{"lab-seed", "lab --seed x testdata/exchange.toml", 2},
	{"lab-offload", "lab --offload maybe testdata/exchange.toml", 2},
	{"lab-workers", "lab --workers 0 testdata/exchange.toml", 2},
	{"lab-events-of-two", "lab --events - testdata/exchange.toml testdata/exchange.toml", 2},
	{"lab-pcap-of-two", "lab --pcap x.pcapng --repeat 2 testdata/exchange.toml", 2},
	{"lab-svg-of-two", "lab --svg x.svg --repeat 2 testdata/exchange.toml", 2},
	{"lab-over-two", "lab --svg x --pcap ./x testdata/exchange.toml", 2},
	{"lab-pcap-to-stdout", "lab --pcap - testdata/exchange.toml", 2},
	{"lab-svg-to-stdout", "lab --svg - testdata/exchange.toml", 2},
	{"lab-junit-beside-events", "lab --junit - --events - testdata/exchange.toml", 2},
	{"lab-mtu-of-ipv4", "lab --ip 6 testdata/small-mtu.toml", 2},
	{"events-count-negative", "events -n -1", 2},
	{"lab-explain-of-two", "lab --explain --repeat 2 testdata/exchange.toml", 2},
	{"lab-explain-json", "lab --explain --json testdata/exchange.toml", 2},
	{"lab-mistakes-of-two", "lab testdata/late-fin.toml testdata/syntax.toml", 2},
	{"replay-nothing", "replay", 2},
	{"replay-no-rules", "replay testdata/nowhere.pcapng", 2},
	{"replay-rules-missing", "replay testdata/nowhere.pcapng -f", 2},
	{"replay-unreadable", "replay -f testdata/good.toml testdata/nowhere.pcapng", 2},
	{"replay-no-capture", "replay -f testdata/good.toml testdata/good.toml", 2},
	{"replay-over-its-rules", "replay -f testdata/good.toml testdata/nowhere.pcapng --events testdata/good.toml", 2},
	{"replay-two-into-one", "replay -f testdata/good.toml testdata/nowhere.pcapng --events x -w ./x", 2},
	{"lab-over-its-file", "lab testdata/exchange.toml --pcap testdata/exchange.toml", 2},
	{"replay-mistakes", "replay -f testdata/late-fin.toml testdata/nowhere.pcapng", 2},

	// Files.
	{"check-good", "check testdata/good.toml", 0},
	{"check-good-json", "check --json testdata/good.toml", 0},
	{"check-lab", "check testdata/exchange.toml", 0},
	{"check-folder", "check testdata/folder", 0},
	{"check-bad", "check testdata/late-fin.toml", 2},
	{"check-many-bad", "check testdata/many-bad.toml", 2},
	{"check-many-bad-json", "check --json testdata/many-bad.toml", 2},
	{"check-good-among-bad", "check testdata/good.toml testdata/late-fin.toml testdata/syntax.toml", 2},
	{"play-pass", "play testdata/pass.ladder", 0},
	{"play-pass-verbose", "play -v testdata/pass.ladder", 0},
	{"play-fail", "play testdata/pass.ladder testdata/fail.ladder", 1},
	{"play-json", "play --seed 3 --json testdata/pass.ladder testdata/fail.ladder", 1},
	{"play-two-unreadable", "play testdata/nowhere.ladder testdata/pass.ladder testdata/nor-here.ladder", 2},
	{"play-bad", "play testdata/pass.ladder testdata/bad.ladder", 2},
}

func TestCalls(t *testing.T) {
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := tcpmangle(t, strings.Fields(c.args)...)
			o.wants(t, c.status)
			golden(t, c.name, session("tcpmangle "+c.args, o))
		})
	}
}

// session writes a call and its outcome as one text.
func session(call string, o outcome) string {
	return fmt.Sprintf("$ %s\n%s--- standard error\n%s--- exit status %d\n", strings.TrimSpace(call), o.stdout, o.stderr, o.status)
}

// Each golden file belongs to a call: none outlives it.
func TestGoldenFilesAreUsed(t *testing.T) {
	used := map[string]bool{}
	for _, c := range calls {
		used[c.name+".txt"] = true
	}
	files, _ := filepath.Glob("testdata/golden/*")
	for _, f := range files {
		if !used[filepath.Base(f)] {
			t.Errorf("no call writes %s", f)
		}
	}
}

func TestVersion(t *testing.T) {
	o := tcpmangle(t, "version")
	o.wants(t, 0)
	if want := regexp.MustCompile(`^tcpmangle devel( \([0-9a-f]{12}\))?, go1\.\S+\n$`); !want.MatchString(o.stdout) || o.stderr != "" {
		t.Errorf("got %q and %q, want %v and silence", o.stdout, o.stderr, want)
	}
}

func TestCompletionKnowsTheTopics(t *testing.T) {
	o := tcpmangle(t, "__complete", "help", "")
	o.wants(t, 0)
	has(t, "completion", o.stdout, "lab\n", "rules\n", "scripts\n", "kinds\n", "actions\n")
}
