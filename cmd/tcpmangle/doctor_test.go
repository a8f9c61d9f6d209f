package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// Where everything works the doctor finds nothing.
func TestDoctor(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	before := nstest.Face(t, host)
	o := finishOn(t, host, command(t, "doctor"))
	o.wants(t, 0)
	has(t, "report", o.stdout, "ok  /dev/net/tun  ", "ok  nftables  ", "\nlab  works here\nexec works here\nrun  works here\n")
	nstest.SameFace(t, host, before)

	o = finishOn(t, host, command(t, "doctor", "--json"))
	o.wants(t, 0)
	var d diagnosis
	if err := json.Unmarshal([]byte(o.stdout), &d); err != nil || !d.Commands["exec"] || len(d.Symptoms) < 10 {
		t.Errorf("%+v, %v", d, err)
	}
}

// What was killed leaves its socket behind.
func TestDoctorSweepsSocket(t *testing.T) {
	needRoot(t)
	host, folder := nstest.New(t), filepath.Dir(nstest.Socket(t))
	run := command(t, "run", "--proxy", "198.18.0.2:1=127.0.0.1:1")
	run.Env = append(run.Env, "RUNTIME_DIRECTORY="+folder)
	s := stand(t, host, run)
	nstest.Must(t, s.Process.Kill())
	s.Wait()
	socket := folder + "/tcpmangle.sock"
	for _, removed := range []bool{true, false} {
		cmd := command(t, "doctor", "--sweep")
		cmd.Env = append(cmd.Env, "RUNTIME_DIRECTORY="+folder)
		o := finishOn(t, host, cmd)
		o.wants(t, 0)
		if got := strings.Contains(o.stdout, "\nremoved "+socket+", at which nobody listens\n"); got != removed {
			t.Errorf("removed %v, want %v:\n%s", got, removed, o.stdout)
		}
		if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is there still: %v", err)
		}
	}
}

// Without rights and device it says what is missing, and what mends it.
func TestDoctorWithoutRights(t *testing.T) {
	needRoot(t)
	info, err := os.Stat("/dev/net/tun")
	nstest.Must(t, err)
	if info.Mode().Perm()&0o006 != 0 {
		t.Skip("everybody may open /dev/net/tun here")
	}
	cmd := command(t, "doctor")
	cmd.Dir = readable(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	o := finish(t, cmd)
	o.wants(t, 3)
	has(t, "report", o.stdout, "--  /dev/net/tun  ", "hint: run as root, or chmod 0666 /dev/net/tun\n",
		"--  CAP_NET_ADMIN  ", "lab  cannot work here\nexec cannot work here\nrun  cannot work here\n")
}

// Two runs in one namespace: the second one says that the first is there.
func TestRunTwice(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	before := nstest.Face(t, host)
	args, _ := runArgs(t, "--port", "7000")
	s := stand(t, host, command(t, args...))
	o := finishOn(t, host, command(t, "run", "--api", "off", "--port", "7001"))
	o.wants(t, 3)
	has(t, "standard error", o.stderr, fmt.Sprintf("tcpmangle: attach: another instance, process %d, is there already; ", s.Process.Pid))
	o = finishOn(t, host, command(t, append(args[:3:3], "--proxy", "198.18.0.2:1=127.0.0.1:1")...))
	o.wants(t, 2)
	has(t, "standard error", o.stderr, "an instance listens at "+args[2]+" already", "hint: --api ADDRESS")
	s.end(t, syscall.SIGTERM).wants(t, 0)
	nstest.SameFace(t, host, before)
}

// What cannot be attached to is told before anything is changed.
func TestRunTargets(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	for _, row := range []struct {
		args   []string
		stderr string
	}{
		{[]string{"--netns", "no-such-namespace"}, "network namespace: open /run/netns/no-such-namespace: no such file"},
		{[]string{"--pid", "4194305"}, "network namespace: open /proc/4194305/ns/net: no such file"},
		{[]string{"--container", "no-such-container"}, "container no-such-container: "},
	} {
		cmd := command(t, append([]string{"run", "--port", "7000", "--api", "off"}, row.args...)...)
		cmd.Env = append(cmd.Env, "PATH=") // engines of this machine are not asked
		o := finishOn(t, host, cmd)
		o.wants(t, 2)
		has(t, strings.Join(row.args, " "), o.stderr, row.stderr)
	}
}
