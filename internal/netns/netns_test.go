package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// newNS makes a namespace that is gone after the test. Without the rights for it
// the test is skipped, or fails where TCPMANGLE_REQUIRE_TUN=1 says they are there.
func newNS(t testing.TB) *NS {
	t.Helper()
	n, err := New()
	if errors.Is(err, unix.EPERM) && os.Getenv("TCPMANGLE_REQUIRE_TUN") != "1" {
		t.Skipf("no network namespace without privileges: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

// nsName tells network namespaces apart: "net:[4026531840]".
func nsName() (string, error) { return os.Readlink("/proc/thread-self/ns/net") }

func TestNewIsEmptyAndApart(t *testing.T) {
	a, b := newNS(t), newNS(t)
	var names []string
	for _, n := range []*NS{a, b} {
		err := n.Do(func() error {
			name, err := nsName()
			names = append(names, name)
			links, e := net.Interfaces()
			if len(links) != 1 || links[0].Name != "lo" || links[0].Flags&net.FlagUp == 0 {
				t.Errorf("links are %v, want lo alone, up", links)
			}
			return errors.Join(err, e)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range []*NS{a, b} {
		if got, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", n.FD())); got != names[i] {
			t.Errorf("FD refers to %q (%v), want %q", got, err, names[i])
		}
	}
	outside, err := nsName()
	if err != nil {
		t.Fatal(err)
	}
	if names[0] == names[1] || names[0] == outside || names[1] == outside {
		t.Errorf("namespaces are %v and outside %v, want three different", names, outside)
	}
}

func TestDoReturns(t *testing.T) {
	n := newNS(t)
	want := errors.New("ours")
	if err := n.Do(func() error { return want }); err != want {
		t.Errorf("Do: got %v, want what f returned", err)
	}
	if err := n.Do(func() error { runtime.Goexit(); return nil }); err != errGoexit {
		t.Errorf("Do of a function that ends its goroutine: got %v, want %v", err, errGoexit)
	}
	err := n.Do(func() error { return n.Do(func() error { return nil }) })
	if err != nil {
		t.Errorf("Do inside Do: %v", err)
	}
}

// After Close nothing is done, least of all to the host.
func TestAfterClose(t *testing.T) {
	n := newNS(t)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	ran := false
	if err := n.Do(func() error { ran = true; return nil }); !errors.Is(err, os.ErrClosed) || ran {
		t.Errorf("Do after Close: ran %v, error %v; want os.ErrClosed and nothing run", ran, err)
	}
	_, sockets := n.Sockets()
	lo := netip.MustParsePrefix("127.0.0.9/32") // nobody's, and harmless
	for name, err := range map[string]error{
		"Sockets": sockets, "Destroy": n.Destroy(Socket{}), "Sysctl": n.Sysctl("tcp_retries2", "3"), "LinkUp": n.LinkUp("lo"),
		"AddAddr": n.AddAddr("lo", lo), "AddRoute": n.AddRoute(lo, "lo"), "Close": n.Close(),
	} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s after Close: got %v, want os.ErrClosed", name, err)
		}
	}
}

// Whatever is done in parallel, no thread is left in a namespace.
func TestThreadsComeBack(t *testing.T) {
	n := newNS(t)
	outside, err := nsName()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := n.Do(func() error { _, err := nsName(); return err }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		name, err := os.Readlink("/proc/self/task/" + thread.Name() + "/ns/net")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || name != outside {
			t.Errorf("thread %s is in %q (%v), want %q", thread.Name(), name, err, outside)
		}
	}
}

func TestNothingLeaks(t *testing.T) {
	newNS(t).Close() // what the runtime opens once is open now
	count := func(dir string) int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	fds, threads := count("/proc/self/fd"), count("/proc/self/task")
	for range 30 {
		n := newNS(t)
		if err := n.Do(func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Sockets(); err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := count("/proc/self/fd"); got > fds { // fewer, if one of an earlier test was collected
		t.Errorf("%d descriptors after 30 namespaces, %d before", got, fds)
	}
	if got := count("/proc/self/task"); got > threads+5 {
		t.Errorf("%d threads after 30 namespaces, %d before", got, threads)
	}
}

// A command started in Do stays inside for its whole life.
func TestCommandRunsInside(t *testing.T) {
	n := newNS(t)
	var inside string
	var out []byte
	err := n.Do(func() (err error) {
		if inside, err = nsName(); err != nil {
			return err
		}
		out, err = exec.Command("readlink", "/proc/self/ns/net").Output()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); got != inside {
		t.Errorf("the command ran in %s, want %s", got, inside)
	}
}

func TestLinks(t *testing.T) {
	n := newNS(t)
	steps := []struct {
		name string
		do   func() error
	}{
		{"mtu", func() error { return n.SetMTU("lo", 9000) }},
		{"address 4", func() error { return n.AddAddr("lo", netip.MustParsePrefix("10.77.1.1/24")) }},
		{"address 6", func() error { return n.AddAddr("lo", netip.MustParsePrefix("fd77:1::1/64")) }},
		{"default 4", func() error { return n.AddRoute(netip.MustParsePrefix("0.0.0.0/0"), "lo") }},
		{"default 6", func() error { return n.AddRoute(netip.MustParsePrefix("::/0"), "lo") }},
		{"route to a host", func() error { return n.AddRoute(netip.MustParsePrefix("10.77.2.1/32"), "lo") }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	err := n.Do(func() error {
		lo, err := net.InterfaceByName("lo")
		if err != nil {
			return err
		}
		addrs, err := lo.Addrs()
		if got := fmt.Sprint(addrs); !strings.Contains(got, "10.77.1.1/24") || !strings.Contains(got, "fd77:1::1/64") {
			t.Errorf("addresses are %s, want 10.77.1.1/24 and fd77:1::1/64 among them", got)
		}
		if lo.MTU != 9000 {
			t.Errorf("mtu is %d, want 9000", lo.MTU)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Usable at once: without IFA_F_NODAD an IPv6 address could not be bound yet.
	for _, addr := range []string{"10.77.1.1:0", "[fd77:1::1]:0"} {
		listen(t, n, addr)
	}
	for _, dst := range []string{"192.0.2.1", "2001:db8::1", "10.77.2.1"} {
		if got := routeDevice(t, n, dst); got != "lo" {
			t.Errorf("%s leaves by %q, want lo", dst, got)
		}
	}
}

// routeDevice asks the kernel by which device dst would leave.
func routeDevice(t *testing.T, n *NS, dst string) string {
	t.Helper()
	routes, err := n.route.RouteGet(net.ParseIP(dst))
	if err != nil {
		t.Fatalf("route to %s: %v", dst, err)
	}
	link, err := n.route.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		t.Fatal(err)
	}
	return link.Attrs().Name
}

func TestLinkErrorsNameTheDevice(t *testing.T) {
	n := newNS(t)
	p := netip.MustParsePrefix("10.0.0.1/32")
	for name, err := range map[string]error{
		"LinkUp": n.LinkUp("nowhere"), "SetMTU": n.SetMTU("nowhere", 1500),
		"AddAddr": n.AddAddr("nowhere", p), "AddRoute": n.AddRoute(p, "nowhere"),
	} {
		if err == nil || !strings.Contains(err.Error(), `"nowhere"`) {
			t.Errorf("%s: got %v, want an error that names the device", name, err)
		}
	}
}
