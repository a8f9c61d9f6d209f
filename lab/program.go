package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A program is one copy of a real program on a host. It lives in a namespace of
// process numbers: with the first process there the kernel kills all others, so that
// no child outlives the program or us, wherever it has hidden. Nor does shared memory
// (System V), which has a namespace, too.
type program struct {
	actor *actor
	n     int

	mu    sync.Mutex
	first *os.Process // nil while nothing runs
	dead  bool
	ended chan struct{}
}

func newProgram(a *actor, n int) *program {
	return &program{actor: a, n: n, ended: make(chan struct{})}
}

// guard is the first process. The program itself must not be that: signals without a
// handler, SIGPIPE among them, do nothing to it (pid_namespaces(7)).
const guard = `"$@"; exit $?`

// play starts the program inside the namespace and waits for its end, on one thread:
// the kernel takes that thread for the parent, with which the program dies.
func (p *program) play(ctx context.Context) {
	defer close(p.ended)
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	stdout, stderr := &lineWriter{say: p.say("stdout")}, &lineWriter{say: p.say("stderr")}
	cmd := p.command()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := p.actor.host.ns.Do(func() error {
		if err := p.start(cmd); err != nil {
			return err
		}
		return cmd.Wait()
	})
	stdout.flush()
	stderr.flush()
	if cmd.ProcessState == nil {
		p.say("stderr")(err.Error())
	}
	p.actor.exited(p.n, exitStatus(cmd.ProcessState))
}

func (p *program) say(stream string) func(string) {
	return func(text string) { p.actor.line(p.n, stream, text) }
}

func (p *program) command() *exec.Cmd {
	argv, addr := p.actor.spec.run, p.actor.host.addr
	cmd := exec.Command("sh", append([]string{"-c", guard, "sh"}, argv...)...)
	cmd.Dir = p.actor.place.dir
	cmd.Env = append(os.Environ(), "CLIENT="+addr[clientSide].String(), "SERVER="+addr[serverSide].String(), "TMPDIR="+p.actor.place.tmp)
	cmd.Env = append(cmd.Env, p.actor.spec.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
		Setpgid:    true, // the keys of a terminal are not for it
		Pdeathsig:  unix.SIGKILL,
	}
	return cmd
}

var errKilled = errors.New("killed before its start")

func (p *program) start(cmd *exec.Cmd) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errKilled
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.first = cmd.Process
	return nil
}

// kill ends the program and all that it has started.
func (p *program) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
	if p.first != nil {
		_ = p.first.Kill() // it may have ended
	}
}

// vanish kills the program and waits until its sockets are the kernel's alone.
func (p *program) vanish() error {
	p.kill()
	<-p.ended
	return nil
}

// idle: a server that serves is idle as far as the lab can know, a client is not.
func (p *program) idle(patience time.Duration) bool {
	select {
	case <-p.ended:
		return true
	default:
		return p.actor.host.side == serverSide && patience != never && p.actor.serves
	}
}

// exitStatus is the end of a program as a shell has it; 127 if it could not start.
func exitStatus(s *os.ProcessState) int {
	if s == nil {
		return 127
	}
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return s.ExitCode()
}

// A lineWriter cuts what is written to it into lines. One goroutine uses it.
type lineWriter struct {
	say  func(line string)
	rest []byte
}

// maxLine is where a line is cut that does not end.
const maxLine = 64 << 10

func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		n := bytes.IndexByte(w.rest, '\n')
		switch {
		case n >= 0:
			w.say(string(bytes.TrimSuffix(w.rest[:n], []byte("\r"))))
			w.rest = w.rest[n+1:]
		case len(w.rest) > maxLine:
			w.flush()
		default:
			return len(b), nil
		}
	}
}

// flush passes on a last line without an end.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.say(string(w.rest))
		w.rest = nil
	}
}
