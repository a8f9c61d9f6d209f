package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// sidecarOfKubernetes does with podman what a kubelet does with packaging/kubernetes/sidecar.yaml:
// the sidecar's call and its mounts, the probe, another ConfigMap.
func sidecarOfKubernetes(t *testing.T, e *containerEngine) {
	service := e.start(t, "pod", 8080)
	before := nstest.Face(t, service.host)
	c := meet(t, service.elsewhere, service.at)
	pings(t, c)
	rules := t.TempDir()
	mountConfigMap(t, rules, packagedRules(t))
	call := callOf(t, "args")
	e.run(t, append([]string{
		"podman", "run", "--detach", "--name", "sidecar", "--network", "container:pod", "--privileged",
		"--volume", rules + ":/rules", "--volume", t.TempDir() + ":/run/tcpmangle", "--volume", "/dev/net/tun:/dev/net/tun",
		boxImage,
	}, call...)...)
	probe := append([]string{"podman", "exec", "sidecar"}, callOf(t, "command")...)
	until(t, "the startup probe succeeds", func() bool { return finish(t, e.command(t, probe...)).status == 0 })

	api := call[len(call)-1]
	verb := func(args ...string) outcome {
		t.Helper()
		return finish(t, e.command(t, append(append([]string{"podman", "exec", "sidecar", "/tcpmangle"}, args...), "--api", api)...))
	}
	for range 2 { // the second answer comes again
		pings(t, c)
	}
	verb("wait", "--rule", "lose-the-second-answer").wants(t, 0)

	mountConfigMap(t, rules, "[[rule]]\nname = \"other\"\nmatch = { prt = 8080 }\naction = \"drop\"\n")
	o := verb("reload")
	o.wants(t, 2)
	has(t, "reload", o.stderr, `/rules/rules.toml:3:11: rule 1 "other": match: unknown key "prt"; did you mean "port"?`)
	pings(t, c)
	mountConfigMap(t, rules, "[[rule]]\nname = \"other\"\nmatch = { port = 8080, segment = \"data\" }\naction = { tag = \"seen\" }\n")
	verb("reload").wants(t, 0)
	pings(t, c)
	verb("wait", "--rule", "other").wants(t, 0)

	e.run(t, "podman", "stop", "sidecar")
	nstest.SameFace(t, service.host, before)
	pings(t, c)
}

// mountConfigMap writes a ConfigMap of rules where it is mounted, as kubelets do: the file leads to
// a folder by way of a link, which is exchanged in one step.
func mountConfigMap(t *testing.T, folder, rules string) {
	t.Helper()
	version, err := os.MkdirTemp(folder, "..2006_01_02_15_04_05.")
	nstest.Must(t, err)
	nstest.Must(t, os.WriteFile(filepath.Join(version, "rules.toml"), []byte(rules), 0o644))
	nstest.Must(t, os.Symlink(filepath.Base(version), filepath.Join(folder, "..data_tmp")))
	was, err := os.Readlink(filepath.Join(folder, "..data"))
	first := err != nil
	nstest.Must(t, os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")))
	if first {
		nstest.Must(t, os.Symlink("..data/rules.toml", filepath.Join(folder, "rules.toml")))
		return
	}
	nstest.Must(t, os.RemoveAll(filepath.Join(folder, was)))
}

// packagedRules are those of the manifest's ConfigMap.
func packagedRules(t *testing.T) string {
	t.Helper()
	_, rest, _ := strings.Cut(packaged(t, "kubernetes/sidecar.yaml"), "  rules.toml: |\n")
	text, _, ok := strings.Cut(rest, "---\n")
	if !ok {
		t.Fatal("sidecar.yaml has no rules")
	}
	return strings.ReplaceAll("\n"+text, "\n    ", "\n")
}

// callOf are the words of a call in the manifest.
func callOf(t *testing.T, key string) []string {
	t.Helper()
	found := regexp.MustCompile(fmt.Sprintf(`(?m)^\s+%s: \[(.*)\]$`, key)).FindStringSubmatch(packaged(t, "kubernetes/sidecar.yaml"))
	if found == nil {
		t.Fatalf("sidecar.yaml has no %s", key)
	}
	return strings.Split(found[1], ", ")
}
