package inline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// NamespacePath is the file that stands for a network namespace: name is that of one that
// ip netns has made, or a path.
func NamespacePath(name string) string {
	if strings.ContainsRune(name, '/') {
		return name
	}
	return filepath.Join("/run/netns", name)
}

// ProcessPath is the file that stands for the network namespace of a process.
func ProcessPath(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

// ErrNotRunning is what ContainerPID returns for a container that has no process.
var ErrNotRunning = errors.New("the container is not running")

var (
	errNoContainer = errors.New("no such container")
	errNoEngine    = errors.New("neither docker nor podman answers")
)

// askTime is how long an engine has for its answer.
const askTime = 10 * time.Second

// ContainerPID finds the first process of a container of docker or podman, by its name or
// id. It asks their sockets, and where there is none, their commands.
func ContainerPID(name string) (pid int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	missing := errNoEngine
	for _, socket := range engineSockets() {
		pid, err := askSocket(ctx, socket, name)
		switch {
		case err == nil:
			return running(pid)
		case errors.Is(err, errNoContainer):
			missing = err
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED):
			return 0, fmt.Errorf("container %s: %s: %w", name, socket, err)
		}
	}
	for _, command := range []string{"docker", "podman"} {
		out, err := exec.CommandContext(ctx, command, "inspect", "--type", "container", "--format", "{{.State.Pid}}", name).Output()
		if pid, aerr := strconv.Atoi(strings.TrimSpace(string(out))); err == nil && aerr == nil {
			return running(pid)
		}
		if _, answered := errors.AsType[*exec.ExitError](err); answered {
			missing = errNoContainer
		}
	}
	return 0, fmt.Errorf("container %s: %w", name, missing)
}

func running(pid int) (int, error) {
	if pid == 0 {
		return 0, ErrNotRunning
	}
	return pid, nil
}

// engineSockets are where docker and podman listen.
func engineSockets() (all []string) {
	if path, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		all = append(all, path)
	}
	all = append(all, "/run/docker.sock", "/run/podman/podman.sock")
	if folder := os.Getenv("XDG_RUNTIME_DIR"); folder != "" {
		all = append(all, filepath.Join(folder, "podman/podman.sock"), filepath.Join(folder, "docker.sock"))
	}
	return all
}

// askSocket asks an engine. Podman answers docker's calls.
func askSocket(ctx context.Context, socket, name string) (pid int, err error) {
	var dialer net.Dialer
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/containers/"+url.PathEscape(name)+"/json", nil)
	if err != nil {
		return 0, err
	}
	answer, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return 0, errNoContainer
	default:
		return 0, errors.New(answer.Status)
	}
	var container struct {
		State struct{ Pid int }
	}
	err = json.NewDecoder(answer.Body).Decode(&container)
	return container.State.Pid, err
}
