package netns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is also the program that Reexec runs again: with testRole set
// it plays that part instead of running tests.
const testRole = "NETNS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(testRole); {
	case role == "":
		os.Exit(m.Run())
	case role == "check":
		os.Exit(tellCheck())
	case os.Getenv(envInside) == "":
		code, err := Reexec([]string{"arg"})
		if err != nil {
			fmt.Println("reexec:", err)
			code = 99
		}
		os.Exit(code)
	default:
		os.Exit(inside(role))
	}
}

// inside is the part after Reexec.
func inside(role string) int {
	switch role {
	case "lab":
		return tellLab()
	case "forbid":
		return tellForbidden()
	case "suicide":
		unix.Kill(os.Getpid(), unix.SIGKILL)
	case "wait":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, unix.SIGTERM, unix.SIGUSR1)
		fmt.Println("pid", os.Getpid())
		if <-signals == unix.SIGTERM {
			return 7
		}
	}
	return 1
}

// tellLab does what a lab does first, and says how it went.
func tellLab() int {
	n, err := New()
	if err != nil {
		fmt.Println("new:", err)
		return 1
	}
	defer n.Close()
	err = errors.Join(n.Sysctl("tcp_retries2", "3"), n.Do(func() error {
		l, err := net.Listen("tcp", "127.0.0.1:8080")
		if err == nil {
			defer l.Close()
			var socks []Socket
			socks, err = n.Sockets()
			fmt.Println(len(socks), "sockets")
		}
		return err
	}))
	_, again := Reexec(nil)
	fmt.Printf("args %v uid %d need %v again %v err %v\n", os.Args[1:], os.Getuid(), NeedUserNS(), again, err)
	return 3
}

// tellForbidden has its own namespace allow no further ones, as a machine would
// that forbids them, and says what is told then.
func tellForbidden() int {
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		fmt.Println(err)
		return 1
	}
	err := checkUserNS()
	if missing, ok := errors.AsType[*MissingError](err); ok {
		fmt.Printf("%v; hint: %s\n", missing, missing.Hint)
	}
	os.Unsetenv(envInside) // as if it were the first
	_, again := Reexec(nil)
	fmt.Println(again)
	return 0
}

// tellCheck says what Check finds.
func tellCheck() int {
	err := Check()
	missing, ok := errors.AsType[*MissingError](err)
	if err != nil && !ok {
		fmt.Println("not a MissingError:", err)
		return 1
	}
	fmt.Println("need", NeedUserNS())
	if missing != nil {
		fmt.Printf("%v; hint: %s\n", missing, missing.Hint)
	}
	fmt.Println("userns", checkUserNS())
	return 0
}

// program prepares the test binary in a role, as nobody if asked and possible.
func program(t *testing.T, role string, nobody bool) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), testRole+"="+role)
	if nobody && os.Geteuid() == 0 {
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return cmd
}

// needUserNS skips where the machine gives no user namespaces.
func needUserNS(t *testing.T) {
	t.Helper()
	if err := checkUserNS(); err != nil {
		if os.Getenv("TCPMANGLE_REQUIRE_TUN") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func TestReexecWithoutRoot(t *testing.T) {
	needUserNS(t)
	out, err := program(t, "lab", true).Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 3 {
		t.Errorf("ended with %v, want exit status 3", err)
	}
	want := "1 sockets\nargs [arg] uid 0 need false again already in an own user namespace err <nil>\n"
	if string(out) != want {
		t.Errorf("got  %swant %s", out, want)
	}
}

func TestUserNSForbidden(t *testing.T) {
	needUserNS(t)
	out, err := program(t, "forbid", true).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "a user namespace: no space left on device; hint: run as root, or sysctl -w user.max_user_namespaces=15000\n" +
		"a user namespace: no space left on device\n"
	if string(out) != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

func TestReexecTellsASignalDeath(t *testing.T) {
	needUserNS(t)
	err := program(t, "suicide", true).Run()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 128+int(unix.SIGKILL) {
		t.Errorf("ended with %v, want exit status 137", err)
	}
}

// startWaiting starts a program whose child waits for a signal, and returns the
// child's standard output, which ends when both are gone.
func startWaiting(t *testing.T) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := program(t, "wait", true)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); !strings.HasPrefix(line, "pid ") {
		t.Fatalf("the child says %q, %v", line, err)
	}
	return cmd, r
}

func TestReexecForwardsSignals(t *testing.T) {
	needUserNS(t)
	cmd, _ := startWaiting(t)
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 7 {
		t.Errorf("ended with %v, want the child's exit status 7", err)
	}
}

// The child goes with its parent, also when that is killed.
func TestReexecLeavesNoChild(t *testing.T) {
	needUserNS(t)
	cmd, out := startWaiting(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, out); ended <- err }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the child is still there long after its parent was killed")
	}
	cmd.Wait()
}

func TestNeedUserNS(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	if got := NeedUserNS(); got != !capable(unix.CAP_SYS_ADMIN) {
		t.Errorf("root: got %v", got)
	}
	t.Setenv(envInside, "1")
	if NeedUserNS() {
		t.Error("inside already: got true")
	}
	if code, err := Reexec(nil); err == nil {
		t.Errorf("Reexec inside already: got %d, want an error", code)
	}
}
