package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// envInside marks a process that Reexec started.
const envInside = "TCPMANGLE_USERNS"

// NeedUserNS reports whether this process has to go through Reexec before New
// can work: it lacks CAP_NET_ADMIN or CAP_SYS_ADMIN. In a process that Reexec
// started the answer is no, since there is nothing left to try.
func NeedUserNS() bool {
	return os.Getenv(envInside) == "" && !(capable(unix.CAP_NET_ADMIN) && capable(unix.CAP_SYS_ADMIN))
}

// capable reports whether a capability is effective.
func capable(capability int) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&hdr, &data[0]) != nil {
		return false
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}

// Reexec runs this program again with the given arguments (args[0] is the first
// after the program's name), as root of an own user and network namespace, and
// waits for it. Standard input, output and error are passed on, and so are
// signals. The exit code is the child's, or 128 and the signal that ended it. The
// error says why it could not start; a machine that forbids it gives a
// *MissingError. The child dies with this process.
func Reexec(args []string) (exitCode int, err error) {
	if os.Getenv(envInside) != "" {
		return 0, errors.New("already in an own user namespace")
	}
	// The kernel counts the thread as the parent (Pdeathsig), so keep it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), envInside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = userNS()

	pass, stop := PassSignals()
	defer stop()
	if err := cmd.Start(); err != nil {
		return 0, missingUserNS(err)
	}
	pass(cmd.Process)
	return ExitStatus(cmd.Wait())
}

// PassSignals catches the signals that are meant for a command which this process stands
// for. Once the command has been started, pass hands them on to it; stop ends it all.
func PassSignals() (pass func(child *os.Process), stop func()) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	ended := make(chan struct{})
	pass = func(child *os.Process) { go forward(signals, child, ended) }
	return pass, func() {
		signal.Stop(signals)
		close(ended)
	}
}

// userNS asks for a child that is root of its own user and network namespace. The files in /proc
// of a program with file capabilities are root's (PR_SET_DUMPABLE(2const)), and the child's
// uid_map is one of them; nobody without these capabilities can trace us all the same.
func userNS() *syscall.SysProcAttr {
	unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
}

// forward hands signals to the child. What a terminal's keys send reaches the
// whole foreground group, the child with it, and is not sent a second time.
func forward(signals <-chan os.Signal, child *os.Process, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case sig := <-signals:
			if keys := sig == unix.SIGINT || sig == unix.SIGQUIT; !keys || !inForeground() {
				child.Signal(sig)
			}
		}
	}
}

// inForeground reports whether the keys of a terminal reach this process.
func inForeground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// ExitStatus reads what Wait says of a child as a shell would: 128 and the number of the
// signal that ended it, else its exit code.
func ExitStatus(err error) (int, error) {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return 0, nil
	case !ok:
		return 0, fmt.Errorf("wait for the child: %w", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
