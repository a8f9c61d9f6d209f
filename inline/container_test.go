package inline

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// anID stands among the mounts of every process, as the id of a container does among its own's.
const anID = "/proc"

// A fakeEngine is what docker and podman answer, as they were heard to; cmd/tcpmangle asks
// real ones.
type fakeEngine struct {
	status int
	body   string
}

func running(id string, pid int) fakeEngine {
	return fakeEngine{200, fmt.Sprintf(`{"Id":%q,"State":{"Status":"running","Running":true,"Paused":false,"Pid":%d}}`, id, pid)}
}

// listen has it answer for every name, where DOCKER_HOST leads to; there are no commands.
func (e fakeEngine) listen(t *testing.T) {
	t.Helper()
	socket := nstest.Socket(t)
	l, err := net.Listen("unix", socket)
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/containers/web/json" {
			t.Errorf("the engine was asked for %s", r.URL.Path)
		}
		w.WriteHeader(e.status)
		fmt.Fprint(w, e.body)
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	t.Setenv("PATH", "")
}

// noSockets lets the test go on where no engine listens.
func noSockets(t *testing.T) {
	t.Helper()
	for _, variable := range []string{"DOCKER_HOST", "CONTAINER_HOST", "XDG_RUNTIME_DIR"} {
		t.Setenv(variable, "")
	}
	for _, socket := range engineSockets() {
		if _, err := os.Stat(socket); err == nil {
			t.Skipf("there is an engine at %s", socket)
		}
	}
}

func TestOpenContainer(t *testing.T) {
	noSockets(t)
	own := os.Getpid()
	for name, row := range map[string]struct {
		engine fakeEngine
		paused bool
		want   string // of the error
	}{
		"runs":      {engine: running(anID, own)},
		"is paused": {fakeEngine{200, fmt.Sprintf(`{"Id":%q,"State":{"Status":"paused","Running":true,"Paused":true,"Pid":%d}}`, anID, own)}, true, ""},
		"has ended": {fakeEngine{200, `{"Id":"47","State":{"Status":"exited","Running":false,"Paused":false,"Pid":0}}`}, false,
			"container web: the container is not running"},
		"is unknown to docker": {fakeEngine{404, `{"message":"No such container: web"}`}, false,
			"container web: no such container"},
		"is unknown to podman": {fakeEngine{404, `{"cause":"no such container","message":"no container with name or ID \"web\" found: no such container","response":404}`}, false,
			"container web: no such container"},
		"is one of several": {fakeEngine{404, `{"cause":"container already exists","message":"more than one result for container ID web: container already exists","response":404}`}, false,
			"container web: more than one result for container ID web: container already exists"},
		"is not told of":     {fakeEngine{500, "no"}, false, "container web: 500 Internal Server Error"},
		"is told of badly":   {fakeEngine{200, "no"}, false, "invalid character"},
		"is somebody else's": {running("0f9cc3ac95078f95c84fd90ba0d31193a41448ffba4e74f4cbf847b3abce0f42", own), false, ErrElsewhere.Error()},
		"has no id":          {running("", own), false, ErrElsewhere.Error()},
		"is nobody here":     {running(anID, 1<<22), false, "process 4194304: " + ErrElsewhere.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			row.engine.listen(t)
			c, err := OpenContainer("web")
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("%v; want %s", err, row.want)
				}
				return
			}
			must(t, err)
			if c.PID != own || c.Paused != row.paused {
				t.Errorf("%+v", c)
			}
			must(t, c.Close())
			select {
			case <-c.Ended():
				t.Error("it has ended, though it runs")
			default:
			}
		})
	}
}

// The namespace is the container's own, and not of who has got its number.
func TestContainerNetNS(t *testing.T) {
	nstest.NeedTUN(t)
	host := newHost(t)
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	must(t, host.Do(cmd.Start))
	running(anID, cmd.Process.Pid).listen(t)
	c, err := OpenContainer("web")
	must(t, err)
	defer c.Close()
	ns, err := c.NetNS()
	must(t, err)
	defer ns.Close()
	got, err := ns.ID()
	must(t, err)
	want, err := host.ID()
	must(t, err)
	if got != want {
		t.Errorf("namespace %d, want %d", got, want)
	}
	must(t, cmd.Process.Kill())
	cmd.Wait()
	if _, err := c.NetNS(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of one that has ended: %v, want %v", err, fs.ErrNotExist)
	}
	c.PID = os.Getpid()
	if _, err := c.NetNS(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("of another one with its number: %v, want %v", err, ErrNotRunning)
	}
}

// A container ends with its first process, though nobody has waited for that.
func TestContainerEnds(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	must(t, cmd.Start())
	defer cmd.Wait()
	running(anID, cmd.Process.Pid).listen(t)
	c, err := OpenContainer("web")
	must(t, err)
	defer c.Close()
	must(t, cmd.Process.Kill())
	select {
	case <-c.Ended():
	case <-time.After(time.Minute):
		t.Error("nobody has noticed")
	}
}

// Without sockets the commands are asked; docker's is there without its daemon.
func TestOpenContainerByCommand(t *testing.T) {
	noSockets(t)
	folder := t.TempDir()
	t.Setenv("PATH", folder+":/bin:/usr/bin")
	script := func(command, text string) {
		must(t, os.WriteFile(filepath.Join(folder, command), []byte("#!/bin/sh\n"+text), 0o755))
	}
	const nobody = "echo []\necho 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2\nexit 1\n"
	script("docker", nobody)
	script("podman", nobody)
	if _, err := OpenContainer("web"); !errors.Is(err, errNoEngine) {
		t.Errorf("no engine: %v", err)
	}
	script("podman", fmt.Sprintf(`case "$*" in
"inspect --type container -- web") echo '[ {"Id": "%s", "State": {"Pid": %d}} ]' ;;
*several) echo '[]'; echo 'Error: more than one result for container ID several: container already exists' >&2; exit 125 ;;
*) echo '[]'; echo 'Error: inspecting object: no such container none' >&2; exit 125 ;;
esac`, anID, os.Getpid()))
	c, err := OpenContainer("web")
	must(t, err)
	must(t, c.Close())
	if c.PID != os.Getpid() {
		t.Errorf("web: %d", c.PID)
	}
	if _, err := OpenContainer("none"); !errors.Is(err, errNoContainer) {
		t.Errorf("none: %v", err)
	}
	if _, err := OpenContainer("several"); err == nil || !strings.Contains(err.Error(), "more than one result") {
		t.Errorf("several: %v", err)
	}
}
