package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// loseOne loses what a client says first; it says so again.
const loseOne = `
[[rule]]
name   = "lose-one"
match  = { port = 7000, from = "client", segment = "data" }
nth    = 1
action = "drop"

[[expect]]
rule  = "lose-one"
fired = 1
`

// Containers of real engines: by their sockets, and of podman, where nobody listens, by its
// command.
func TestRunContainer(t *testing.T) {
	for name, engine := range map[string]func(*testing.T) *containerEngine{
		"podman":              func(t *testing.T) *containerEngine { return podman(t, true) },
		"podman by a command": func(t *testing.T) *containerEngine { return podman(t, false) },
		"docker":              docker,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := engine(t)
			web := e.start(t, "web", 7000)
			e.run(t, e.name, "create", "--name", "idle", "--network", "none", echoImage, "7000")
			t.Run("attach", func(t *testing.T) { attachToContainer(t, e, web) })
			t.Run("refuse", func(t *testing.T) { refuseContainers(t, e) })
			t.Run("end", func(t *testing.T) { endContainer(t, e, web) })
		})
	}
}

// attachToContainer meets an open connection with a fault, by each name that a container has.
func attachToContainer(t *testing.T, e *containerEngine, web *contained) {
	rules := written(t, "one.toml", loseOne)
	before := nstest.Face(t, web.host)
	for _, name := range []string{web.name, web.id, web.id[:6]} {
		c := meet(t, web.elsewhere, web.at)
		pings(t, c)
		args, api := runArgs(t, "-f", rules, "--container", name)
		s := stand(t, e.ns, e.tcpmangle(t, args...))
		has(t, "its line", s.said, "tcpmangle: inline in container "+name+": port 7000 by mangle0 and mangle1")
		pings(t, c)
		awaits(t, api, client.Condition{Rule: "lose-one"})
		o := s.end(t, syscall.SIGTERM)
		o.wants(t, 0)
		has(t, "report", o.stdout, "PASS  rule lose-one fired 1  (at ")
		nstest.SameFace(t, web.host, before)
		pings(t, c)
	}
}

// refuseContainers wants a reason for those that cannot be attached to.
func refuseContainers(t *testing.T, e *containerEngine) {
	for name, want := range map[string]string{
		"idle": "tcpmangle: container idle: the container is not running\nhint: docker ps, or podman ps, ",
		"none": "tcpmangle: container none: no such container\nhint: docker ps, or podman ps, ",
	} {
		o := finish(t, e.tcpmangle(t, "run", "--api", "off", "--port", "7000", "--container", name))
		o.wants(t, 2)
		if !strings.HasPrefix(o.stderr, want) {
			t.Errorf("%s: got %q, want %q", name, o.stderr, want)
		}
	}
}

// endContainer ends a container while we are attached to it.
func endContainer(t *testing.T, e *containerEngine, web *contained) {
	args, _ := runArgs(t, "--port", "7000", "--container", web.name)
	before := nstest.Face(t, web.host)
	s := stand(t, e.ns, e.tcpmangle(t, args...))
	e.run(t, e.name, "kill", web.name)
	s.await(t, "tcpmangle: container web has ended\n")
	o := s.end(t, 0) // by itself
	o.wants(t, 0)
	has(t, "report", o.stdout, "seed 1\n")
	nstest.SameFace(t, web.host, before)
	if left := e.run(t, "ls", "/run/tcpmangle"); left != "lock" {
		t.Errorf("in /run/tcpmangle is %q", left)
	}
}
