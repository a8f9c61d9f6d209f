package tunnel_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/tcpmangle/tcpmangle/tunnel"
	"golang.org/x/sys/unix"
)

// holdDevice, set to an offload mode, turns the test binary into a process that
// opens a device and waits to be killed.
const holdDevice = "TUNNEL_TEST_HOLD_DEVICE"

func TestMain(m *testing.M) {
	if mode := os.Getenv(holdDevice); mode != "" {
		hold(mode)
	}
	os.Exit(m.Run())
}

func hold(mode string) {
	offload, err := tunnel.ParseOffload(mode)
	if err != nil {
		panic(err)
	}
	d, err := tunnel.Open(tunnel.Config{Name: "held", Offload: offload})
	if err != nil {
		panic(err)
	}
	fmt.Println(d.Name())
	select {}
}

// A netns is a network namespace and the one thread that lives in it. What was
// opened there works from anywhere.
type netns struct{ calls chan func() }

// newNetns makes a namespace that goes when the test ends. Without the privilege,
// or without /dev/net/tun, the test is skipped, or fails where those are required.
func newNetns(t testing.TB) *netns {
	t.Helper()
	return newThread(t, unix.CLONE_NEWNET)
}

// newThread starts a thread with namespaces of its own. It is never unlocked, so
// the runtime throws it away in the end.
func newThread(t testing.TB, flags int) *netns {
	t.Helper()
	requireTUN(t)
	ns := &netns{calls: make(chan func())}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(ended)
		started <- unix.Unshare(flags)
		for call := range ns.calls {
			call()
		}
	}()
	t.Cleanup(func() { close(ns.calls); <-ended })
	if err := <-started; err != nil {
		unable(t, fmt.Errorf("unshare: %w", err))
	}
	return ns
}

// do runs f on the namespace's thread.
func (ns *netns) do(f func() error) error {
	result := make(chan error)
	ns.calls <- func() { result <- f() }
	return <-result
}

// must is do for what cannot fail but by the machine.
func (ns *netns) must(t testing.TB, f func() error) {
	t.Helper()
	if err := ns.do(f); err != nil {
		t.Fatal(err)
	}
}

// open opens a device in the namespace; the test's end closes it.
func (ns *netns) open(t testing.TB, c tunnel.Config) tunnel.Device {
	t.Helper()
	d, err := ns.tryOpen(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (ns *netns) tryOpen(c tunnel.Config) (d tunnel.Device, err error) {
	err = ns.do(func() (err error) {
		d, err = tunnel.Open(c)
		return err
	})
	return d, err
}

// silence keeps the namespace's kernel from talking IPv6 on devices that come up.
func (ns *netns) silence(t testing.TB) {
	t.Helper()
	ns.must(t, func() error {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil // a kernel without IPv6 is silent already
		}
		return err
	})
}

func requireTUN(t testing.TB) {
	t.Helper()
	fd, err := unix.Open(tunnel.DevNetTun, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		unable(t, &os.PathError{Op: "open", Path: tunnel.DevNetTun, Err: err})
	}
	unix.Close(fd)
}

func unable(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("TCPMANGLE_REQUIRE_TUN") == "1" {
		t.Fatalf("TCPMANGLE_REQUIRE_TUN=1, but: %v", err)
	}
	t.Skipf("needs a network namespace and a TUN device: %v", err)
}
