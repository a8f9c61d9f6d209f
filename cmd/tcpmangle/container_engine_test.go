package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// A containerEngine is docker or podman on a machine.
type containerEngine struct {
	*machine
	name string
}

const (
	podmanSocket = "/run/podman/podman.sock"
	dockerSocket = "/run/docker.sock"
	echoImage    = "localhost/echo" // what serves in containers
)

// podman has an engine, with or without its socket.
func podman(t *testing.T, socket bool) *containerEngine {
	t.Helper()
	e := &containerEngine{newMachine(t, "podman"), "podman"}
	if socket {
		e.serve(t, podmanSocket, "podman", "system", "service", "--time=0")
	}
	e.run(t, "podman", "build", "--tag", echoImage, echoContext(t))
	return e
}

// docker has an engine.
func docker(t *testing.T) *containerEngine {
	t.Helper()
	e := &containerEngine{newMachine(t, "dockerd", "docker"), "docker"}
	conf, err := filepath.Abs("testdata/containers/dockerd.json")
	nstest.Must(t, err)
	e.serve(t, dockerSocket, "dockerd", "--config-file", conf)
	archive := filepath.Join(t.TempDir(), "echo.tar")
	nstest.Must(t, exec.Command("tar", "-cf", archive, "-C", echoContext(t), "echo").Run())
	e.run(t, "docker", "import", "--change", `ENTRYPOINT ["/echo"]`, archive, echoImage)
	return e
}

// echoContext is a folder with what an image of the service is made of.
func echoContext(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	build(t, filepath.Join(folder, "echo"), "./testdata/containers/echo")
	nstest.Must(t, os.WriteFile(filepath.Join(folder, "Containerfile"), []byte("FROM scratch\nCOPY echo /echo\nENTRYPOINT [\"/echo\"]\n"), 0o644))
	return folder
}

// build makes a static program.
func build(t *testing.T, program, source string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", program, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// A contained is a service in a container, and a host that reaches it.
type contained struct {
	name      string
	id        string
	host      *netns.NS // of the container
	elsewhere *netns.NS
	at        netip.AddrPort
}

// start runs the service in a container without a network, and lays a wire to it. What is
// elsewhere is no part of the machine.
func (e *containerEngine) start(t *testing.T, name string, port uint16, flags ...string) *contained {
	t.Helper()
	args := append([]string{e.name, "run", "--detach", "--name", name, "--network", "none"}, flags...)
	c := &contained{name: name, elsewhere: nstest.New(t), id: e.run(t, append(args, echoImage, fmt.Sprint(port))...)}
	pid := e.run(t, e.name, "inspect", "--format", "{{.State.Pid}}", name)
	c.host = openNS(t, fmt.Sprintf("/proc/%d/root/proc/%s/ns/net", e.first, pid))
	c.at = netip.AddrPortFrom(wireToContainer(t, c), port)
	until(t, name+" serves", func() bool {
		conn, err := nstest.Dial(c.elsewhere, c.at)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return c
}

// wireToContainer lays the wire. Docker has switched IPv6 off where it has no network, and that
// is so again afterwards.
func wireToContainer(t *testing.T, c *contained) (of4 netip.Addr) {
	t.Helper()
	const off = "net.ipv6.conf.all.disable_ipv6"
	was, err := c.host.SysctlGet(off)
	nstest.Must(t, err)
	nstest.Must(t, c.host.Sysctl(off, "0"))
	of4, _ = nstest.Wire(t, 0, c.elsewhere, c.host)
	nstest.Must(t, c.host.Sysctl(off, was))
	return of4
}
