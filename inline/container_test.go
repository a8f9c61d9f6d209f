package inline

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// anEngine answers as docker and podman do.
func anEngine(t *testing.T) (socket string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "engine") // a path short enough for a socket
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	socket = filepath.Join(folder, "s")
	l, err := net.Listen("unix", socket)
	must(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containers/web/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"Id":"4711","State":{"Status":"running","Pid":4711}}`))
	})
	mux.HandleFunc("GET /containers/stopped/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"State":{"Status":"exited","Pid":0}}`))
	})
	mux.HandleFunc("GET /containers/broken/json", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusInternalServerError)
	})
	server := &http.Server{Handler: mux}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return socket
}

func TestContainerPID(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+anEngine(t))
	t.Setenv("PATH", "")
	if pid, err := ContainerPID("web"); pid != 4711 || err != nil {
		t.Errorf("web: %d, %v", pid, err)
	}
	if _, err := ContainerPID("stopped"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("stopped: %v", err)
	}
	if _, err := ContainerPID("none"); !errors.Is(err, errNoContainer) {
		t.Errorf("none: %v", err)
	}
	if _, err := ContainerPID("broken"); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("broken: %v", err)
	}
}

// Without sockets the commands are asked.
func TestContainerPIDByCommand(t *testing.T) {
	folder := t.TempDir()
	script := "#!/bin/sh\n[ \"$6\" = web ] && echo 4711 && exit\necho no such container >&2\nexit 1\n"
	must(t, os.WriteFile(filepath.Join(folder, "podman"), []byte(script), 0o755))
	t.Setenv("PATH", folder+":/bin:/usr/bin")
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(folder, "nowhere"))
	t.Setenv("XDG_RUNTIME_DIR", "")
	for _, socket := range engineSockets() {
		if _, err := os.Stat(socket); err == nil {
			t.Skipf("there is an engine at %s", socket)
		}
	}
	must(t, os.WriteFile(filepath.Join(folder, "docker"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	if pid, err := ContainerPID("web"); pid != 4711 || err != nil {
		t.Errorf("web: %d, %v", pid, err)
	}
	if _, err := ContainerPID("none"); !errors.Is(err, errNoContainer) {
		t.Errorf("none: %v", err)
	}
}
