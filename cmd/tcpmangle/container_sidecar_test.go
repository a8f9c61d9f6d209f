package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// boxImage is what packaging/Containerfile makes.
const boxImage = "localhost/tcpmangle"

// buildBox makes the image as packaging/Containerfile has it, in front of an image with
// this machine's Go in place of the one that comes from a registry.
func buildBox(t *testing.T, e *containerEngine) {
	t.Helper()
	from := regexp.MustCompile(`(?m)^FROM (\S+) AS build$`).FindStringSubmatch(packaged(t, "Containerfile"))
	if from == nil {
		t.Fatal("Containerfile has no image to build in")
	}
	folder := t.TempDir()
	nstest.Must(t, os.Mkdir(filepath.Join(folder, "tmp"), 0o777))
	nstest.Must(t, os.WriteFile(filepath.Join(folder, "Containerfile"), []byte(
		"FROM scratch\nENV PATH=/goroot/bin:/usr/bin:/bin GOMODCACHE=/gomod GOCACHE=/gocache GOPROXY=off GOFLAGS=-buildvcs=false\nCOPY tmp /tmp\n"), 0o644))
	e.run(t, "podman", "build", "--tag", from[1], folder)
	root, err := filepath.Abs(project)
	nstest.Must(t, err)
	args := []string{"podman", "build", "--network", "none", "--tag", boxImage, "--file", filepath.Join(root, "packaging/Containerfile")}
	for from, to := range map[string]string{
		goEnv(t, "GOROOT"): "/goroot:ro", goEnv(t, "GOMODCACHE"): "/gomod:ro", goEnv(t, "GOCACHE"): "/gocache",
		"/usr": "/usr:ro", "/bin": "/bin:ro", "/lib": "/lib:ro", "/lib64": "/lib64:ro", // a shell
	} {
		if _, err := os.Stat(from); err == nil {
			args = append(args, "--volume", from+":"+to)
		}
	}
	e.run(t, append(args, root)...)
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	nstest.Must(t, err)
	return strings.TrimSpace(string(out))
}

// The image runs by itself, and as a sidecar: in a container that shares the network of the
// service's.
func TestSidecar(t *testing.T) {
	e := podman(t, false)
	buildBox(t, e)
	has(t, "version", e.run(t, "podman", "run", "--rm", "--network", "none", boxImage, "version"), "tcpmangle devel, go1.")
	for name, test := range map[string]func(*testing.T, *containerEngine){
		"a lab": labInContainer, "unprivileged": sidecarLacks, "unmasked": sidecarUnmasked, "with sysctls": sidecarIsKilled,
		"of Kubernetes": sidecarOfKubernetes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

// labInContainer makes the call at the head of packaging/Containerfile, and one without what lets
// sysctls be written.
func labInContainer(t *testing.T, e *containerEngine) {
	call := regexp.MustCompile(`(?m)^# (podman run .*) tcpmangle (lab /rules/)my.toml$`).FindStringSubmatch(packaged(t, "Containerfile"))
	if call == nil {
		t.Fatal("Containerfile runs no lab")
	}
	examples, err := filepath.Abs(filepath.Join(project, "examples/rules"))
	nstest.Must(t, err)
	line := strings.Replace(call[1], "./rules:", examples+":", 1) + " --network none " + boxImage + " " + call[2] + "last-ack-lost.toml"
	has(t, "lab", e.run(t, strings.Fields(line)...), "PASS  /rules/last-ack-lost.toml in ")
	o := finish(t, e.command(t, strings.Fields(strings.Replace(line, "--security-opt unmask=/proc/sys", "", 1))...))
	o.wants(t, 3)
	has(t, "lab", o.stderr, "tcpmangle: /proc/sys: sysctl ", ": cannot be written: read-only file system\nhint: "+netns.SysctlHint+"\n")
}

// sidecar prepares podman run for a sidecar without privilege.
func sidecar(of *contained, flags ...string) []string {
	return append([]string{"podman", "run", "--network", "container:" + of.name, "--cap-add", "NET_ADMIN", "--device", "/dev/net/tun"}, flags...)
}

// attachSidecar starts a sidecar, and returns when it is inline.
func attachSidecar(t *testing.T, e *containerEngine, of *contained, name string, flags ...string) {
	t.Helper()
	rules := written(t, "one.toml", loseOne)
	args := sidecar(of, "--detach", "--name", name, "--volume", rules+":/rules.toml:ro")
	e.run(t, append(append(args, flags...), boxImage, "run", "-f", "/rules.toml")...)
	until(t, "the sidecar is inline", func() bool {
		return finish(t, e.command(t, "podman", "exec", name, "/tcpmangle", "conns")).status == 0
	})
}

// firesInSidecar meets an open connection with the sidecar's fault.
func firesInSidecar(t *testing.T, e *containerEngine, c net.Conn, name string) {
	t.Helper()
	pings(t, c)
	e.run(t, "podman", "exec", name, "/tcpmangle", "wait", "--rule", "lose-one", "--within", "30s")
}

// endSidecar stops a sidecar that has met with everything that it expected.
func endSidecar(t *testing.T, e *containerEngine, name string) {
	t.Helper()
	e.run(t, "podman", "stop", name)
	has(t, "report", e.run(t, "podman", "logs", name), "PASS  rule lose-one fired 1  (at ")
	if status := e.run(t, "podman", "wait", name); status != "0" {
		t.Errorf("its exit status is %s", status)
	}
}

// sidecarLacks wants it said which sysctls cannot be written, by the doctor and by run, and
// nothing changed.
func sidecarLacks(t *testing.T, e *containerEngine) {
	service := e.start(t, "lacking", 7000)
	before := nstest.Face(t, service.host)
	const sysctls = "--sysctl net.ipv4.tcp_early_demux=0 --sysctl net.ipv4.ip_forward=1 "
	o := finish(t, e.command(t, sidecar(service, "--rm", boxImage, "run", "--port", "7000")...))
	o.wants(t, 3)
	has(t, "run", o.stderr, "tcpmangle: attach: sysctls: those that an attachment needs cannot be written here\nhint: ", sysctls)
	has(t, "doctor", e.run(t, sidecar(service, "--rm", boxImage, "doctor")...),
		"--  sysctls  ", netns.SysctlHint, sysctls, "\nrun  cannot work here")
	nstest.SameFace(t, service.host, before)
}

// sidecarUnmasked attaches to a service that was not prepared for that.
func sidecarUnmasked(t *testing.T, e *containerEngine) {
	service := e.start(t, "unprepared", 7000)
	c := meet(t, service.elsewhere, service.at)
	pings(t, c)
	before := nstest.Face(t, service.host)
	attachSidecar(t, e, service, "unmasked", "--security-opt", "unmask=/proc/sys")
	firesInSidecar(t, e, c, "unmasked")
	endSidecar(t, e, "unmasked")
	nstest.SameFace(t, service.host, before)
	pings(t, c)
}

// sidecarIsKilled attaches where the service's runtime has set what docs/containers.md says, and does
// so again after it was killed, in a container that knows nothing of the one before.
func sidecarIsKilled(t *testing.T, e *containerEngine) {
	service := e.start(t, "prepared", 7000, documentedSysctls(t)...)
	c := meet(t, service.elsewhere, service.at)
	pings(t, c)
	before := nstest.Face(t, service.host)
	attachSidecar(t, e, service, "killed")
	firesInSidecar(t, e, c, "killed")
	e.run(t, "podman", "rm", "--force", "--time", "0", "killed") // SIGKILL, and its record is gone
	pings(t, c)
	attachSidecar(t, e, service, "next")
	firesInSidecar(t, e, c, "next")
	endSidecar(t, e, "next")
	nstest.SameFace(t, service.host, before)
	pings(t, c)
}

// documentedSysctls are options for those that docs/containers.md has a runtime set.
func documentedSysctls(t *testing.T) (options []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`--sysctl (net\.[a-z0-9_.]+=[01])`).FindAllStringSubmatch(page(t, "containers.md"), -1) {
		options = append(options, "--sysctl", m[1])
	}
	if len(options) == 0 {
		t.Fatal("docs/containers.md names no sysctl")
	}
	return options
}

// Pods want the same sysctls as containers.
func TestSysctlsOfPods(t *testing.T) {
	var options []string
	for _, m := range regexp.MustCompile(`\{name: (net\.[a-z0-9_.]+), value: "([01])"\}`).FindAllStringSubmatch(page(t, "kubernetes.md"), -1) {
		options = append(options, "--sysctl", m[1]+"="+m[2])
	}
	if want := documentedSysctls(t); !slices.Equal(options, want) {
		t.Errorf("docs/kubernetes.md has %v, docs/containers.md %v", options, want)
	}
}

// page is one of docs.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(project, "docs", name))
	nstest.Must(t, err)
	return string(text)
}
