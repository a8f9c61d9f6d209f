package inline

import (
	"bytes"
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
	"strings"
	"syscall"
	"time"
)

// described is what an engine says of a container. Docker and podman use the same words.
type described struct {
	ID    string `json:"Id"`
	State struct {
		PID    int  `json:"Pid"`
		Paused bool `json:"Paused"`
	} `json:"State"`
}

var (
	errNoContainer = errors.New("no such container")
	errNoEngine    = errors.New("neither docker nor podman answers")
)

// askTime is how long engines have for their answers.
const askTime = 10 * time.Second

// An asker has an engine tell of a container. It returns errNoContainer, errNoEngine where
// there is nobody to be asked, or the engine's own complaint.
type asker func(ctx context.Context, name string) (*described, error)

// askers are the ways to the engines of this machine: their sockets, and their commands, for
// podman often has no socket.
func askers() (all []asker) {
	for _, socket := range engineSockets() {
		all = append(all, func(ctx context.Context, name string) (*described, error) { return askSocket(ctx, socket, name) })
	}
	for _, command := range []string{"docker", "podman"} {
		all = append(all, func(ctx context.Context, name string) (*described, error) { return askCommand(ctx, command, name) })
	}
	return all
}

// askEngines asks one after the other, until one knows the container.
func askEngines(name string) (*described, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	missing := errNoEngine
	for _, ask := range askers() {
		d, err := ask(ctx, name)
		switch {
		case errors.Is(err, errNoContainer):
			missing = errNoContainer
		case !errors.Is(err, errNoEngine):
			return d, err
		}
	}
	return nil, missing
}

// engineSockets are where docker and podman listen.
func engineSockets() (all []string) {
	for _, variable := range []string{"DOCKER_HOST", "CONTAINER_HOST"} {
		if path, ok := strings.CutPrefix(os.Getenv(variable), "unix://"); ok {
			all = append(all, path)
		}
	}
	all = append(all, "/run/docker.sock", "/run/podman/podman.sock")
	if folder := os.Getenv("XDG_RUNTIME_DIR"); folder != "" {
		all = append(all, filepath.Join(folder, "podman/podman.sock"), filepath.Join(folder, "docker.sock"))
	}
	return all
}

// askSocket asks an engine. Podman answers docker's calls.
func askSocket(ctx context.Context, socket, name string) (*described, error) {
	var dialer net.Dialer
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/containers/"+url.PathEscape(name)+"/json", nil)
	if err != nil {
		return nil, err
	}
	answer, err := (&http.Client{Transport: transport}).Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errNoEngine
	}
	if err == nil {
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return nil, complaint(answer)
		}
		d := new(described)
		if err = json.NewDecoder(answer.Body).Decode(d); err == nil {
			return d, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", socket, err)
}

// complaint is why an engine has no answer. Podman's for an id of which there are several
// is a 404, too.
func complaint(answer *http.Response) error {
	var body struct{ Message string }
	if json.NewDecoder(answer.Body).Decode(&body) != nil || body.Message == "" {
		body.Message = answer.Status
	}
	return said(body.Message)
}

// askCommand asks the command of an engine.
func askCommand(ctx context.Context, command, name string) (*described, error) {
	cmd := exec.CommandContext(ctx, command, "inspect", "--type", "container", "--", name)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errNoEngine
	}
	if _, answered := errors.AsType[*exec.ExitError](err); answered && stderr.Len() > 0 {
		return nil, said(strings.TrimSpace(stderr.String()))
	}
	var all []described
	if err == nil {
		err = json.Unmarshal(stdout.Bytes(), &all)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	if len(all) != 1 {
		return nil, errNoContainer
	}
	return &all[0], nil
}

// said reads an engine's words: sockets and commands share them.
func said(text string) error {
	switch words := strings.ToLower(text); {
	case strings.Contains(words, "no such container"):
		return errNoContainer
	case strings.Contains(words, "cannot connect"): // a command that finds nobody to ask
		return errNoEngine
	}
	return errors.New(text)
}
