package netns

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A MissingError is something that a lab needs and this machine does not give.
type MissingError struct {
	What string // "/dev/net/tun", "a user namespace" …
	Hint string // what to try, a command where there is one
	Err  error  // the kernel's answer
}

func (e *MissingError) Error() string { return fmt.Sprintf("%s: %v", e.What, e.Err) }
func (e *MissingError) Unwrap() error { return e.Err }

const tunFile = "/dev/net/tun"

// Check tries what a lab will need, leaves nothing behind, and returns the
// first thing missing as a *MissingError: the TUN device, a user namespace where
// the process has no privileges of its own, a network namespace, sock_diag.
func Check() error {
	if err := checkTUN(tunFile); err != nil {
		return err
	}
	if NeedUserNS() {
		return checkUserNS()
	}
	return checkNS()
}

// CheckRights tells what is missing to put devices into the namespace of this process,
// as a *MissingError: the TUN device, CAP_NET_ADMIN; and, to make or enter other
// namespaces, CAP_SYS_ADMIN.
func CheckRights(elsewhere bool) error {
	if err := checkTUN(tunFile); err != nil {
		return err
	}
	if !capable(unix.CAP_NET_ADMIN) {
		return &MissingError{What: "CAP_NET_ADMIN", Hint: "run as root", Err: unix.EPERM}
	}
	if elsewhere && !capable(unix.CAP_SYS_ADMIN) {
		return &MissingError{What: "CAP_SYS_ADMIN", Hint: "run as root", Err: unix.EPERM}
	}
	return nil
}

// checkTUN opens the device node; no device is made by that.
func checkTUN(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err == nil {
		return f.Close()
	}
	return &MissingError{What: file, Hint: tunHint(err), Err: bare(err)}
}

func tunHint(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return "modprobe tun (a container also needs --device /dev/net/tun)"
	case errors.Is(err, unix.EACCES):
		return "run as root, or chmod 0666 /dev/net/tun"
	case errors.Is(err, unix.EPERM): // the device controller of a cgroup
		return "start the container with --device /dev/net/tun"
	default:
		return ""
	}
}

// checkUserNS has the kernel set up a child in namespaces of its own, up to the
// start of a program with no name: that this is not found is the good end.
func checkUserNS() error {
	_, err := syscall.ForkExec("", []string{""}, &syscall.ProcAttr{Sys: userNS()})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return missingUserNS(err)
}

// missingUserNS says why there is no user namespace, and who forbids it.
func missingUserNS(err error) error {
	return &MissingError{What: "a user namespace", Hint: userNSHint(), Err: bare(err)}
}

// userNSHint reads the switches by which distributions forbid user namespaces.
func userNSHint() string {
	switches := []struct{ file, forbids, hint string }{
		{"user/max_user_namespaces", "0", "user.max_user_namespaces=15000"},
		{"kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"},
		{"kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"},
	}
	for _, s := range switches {
		text, err := os.ReadFile("/proc/sys/" + s.file)
		if err == nil && strings.TrimSpace(string(text)) == s.forbids {
			return "run as root, or sysctl -w " + s.hint
		}
	}
	return "run as root"
}

// SysctlHint is what a container needs that may not write to its /proc/sys.
const SysctlHint = "start the container with --security-opt unmask=/proc/sys (docker: systempaths=unconfined), or --privileged"

// checkNS makes a namespace, lists its sockets, sets a sysctl, and lets it go.
func checkNS() error {
	n, err := New()
	if err != nil {
		return &MissingError{What: "a network namespace", Hint: userNSHint(), Err: err}
	}
	defer n.Close()
	if _, err := n.Sockets(); err != nil {
		return &MissingError{What: "sock_diag", Hint: "modprobe tcp_diag", Err: err}
	}
	if err := n.Sysctl("net.ipv4.tcp_no_metrics_save", "1"); err != nil {
		return &MissingError{What: "/proc/sys", Hint: SysctlHint, Err: err}
	}
	return nil
}
