package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/rules"
)

// packaged is a file of the folder packaging.
func packaged(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(project, "packaging", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every call in the packaging is one that the command understands.
func TestCallsInPackaging(t *testing.T) {
	for _, call := range []struct{ name, file, pattern string }{
		{"the unit's start", "tcpmangle.service", `(?m)^ExecStart=/usr/bin/tcpmangle (.*)$`},
		{"the unit's arguments", "tcpmangle.default", `(?m)^ARGS="(.*)"$`},
		{"the container's example", "Containerfile", `(?m)^# podman run .* tcpmangle (lab .*)$`},
		{"the sidecar", "kubernetes/sidecar.yaml", `(?m)^\s+args: \[(.*)\]$`},
		{"the sidecar's probe", "kubernetes/sidecar.yaml", `(?m)^\s+command: \[/tcpmangle, (.*)\]$`},
		{"the workflow", "github-action.yml", `(?m)/tcpmangle" (.*)$`},
	} {
		t.Run(call.name, func(t *testing.T) {
			found := regexp.MustCompile(call.pattern).FindAllStringSubmatch(packaged(t, call.file), -1)
			if len(found) != 1 {
				t.Fatalf("%s has %d such calls, want one", call.file, len(found))
			}
			args := strings.Fields(strings.ReplaceAll(found[0][1], ",", " "))
			if args[0] == "--proxy" { // flags of run
				args = append([]string{"run"}, args...)
			}
			if last := len(args) - 1; args[last] == "$ARGS" {
				args = args[:last]
			}
			if err := understood(args); err != nil {
				t.Errorf("%s: tcpmangle %s: %v", call.file, strings.Join(args, " "), err)
			}
		})
	}
}

// The rules that are packaged can be loaded, the ConfigMap's too.
func TestRulesInPackaging(t *testing.T) {
	if _, err := rules.Parse("rules.toml", packaged(t, "rules.toml")); err != nil {
		t.Error(err)
	}
	set, err := rules.Parse("sidecar.yaml", packagedRules(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Rules) == 0 {
		t.Error("sidecar.yaml has no rule")
	}
}

// What a sidecar mounts and speaks to are the same paths on both ends.
func TestPathsOfTheSidecar(t *testing.T) {
	manifest := packaged(t, "kubernetes/sidecar.yaml")
	for _, path := range []string{"/rules", "/run/tcpmangle", "/dev/net/tun"} {
		has(t, "sidecar.yaml", manifest, "mountPath: "+path+"}")
	}
	sockets := regexp.MustCompile(`--api, ([^],]+)`).FindAllStringSubmatch(manifest, -1)
	if len(sockets) != 2 || sockets[0][1] != sockets[1][1] {
		t.Errorf("the sidecar listens and is probed at %v, want one address twice", sockets)
	}
}

// What the deb and the rpm are made of is there, besides what is built before.
func TestContentsOfPackages(t *testing.T) {
	sources := regexp.MustCompile(`(?m)^\s+(?:- src|\w+): (packaging/.*|docs/.*|examples/.*)$`).
		FindAllStringSubmatch(packaged(t, "nfpm.yaml"), -1)
	if len(sources) < 9 {
		t.Errorf("%d sources found: the test does not look well", len(sources))
	}
	for _, m := range sources {
		if found, err := filepath.Glob(filepath.Join(project, m[1])); err != nil || len(found) == 0 {
			t.Errorf("%s: nothing is there (%v)", m[1], err)
		}
	}
}
