package nstest

import (
	"errors"
	"net/netip"
	"os"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// An End is a host whose way to the other one is the device of a box.
type End struct {
	*netns.NS
	Dev  tunnel.Device
	Addr netip.Addr
}

// Ends makes two hosts that reach each other through the box that the test sets between their
// devices, and skips a test where the machine cannot do that:
//
//	namespace A                              namespace B
//	10.77.1.1/32 ─ Dev ══ the test's box ══ Dev ─ 10.77.2.1/32
func Ends(t testing.TB) (a, b *End) {
	t.Helper()
	NeedTUN(t)
	one, other := netip.MustParseAddr("10.77.1.1"), netip.MustParseAddr("10.77.2.1")
	return newEnd(t, one, other), newEnd(t, other, one)
}

func newEnd(t testing.TB, addr, other netip.Addr) *End {
	t.Helper()
	e := &End{NS: New(t), Addr: addr}
	Must(t, e.Do(func() (err error) {
		e.Dev, err = tunnel.Open(tunnel.Config{})
		return err
	}))
	t.Cleanup(func() { e.Dev.Close() })
	name := e.Dev.Name()
	Must(t, errors.Join(e.AddAddr(name, netip.PrefixFrom(addr, 32)), e.LinkUp(name), e.AddRoute(netip.PrefixFrom(other, 32), name)))
	return e
}

// NeedTUN skips a test where namespaces or TUN devices cannot be had by this user;
// with TCPMANGLE_REQUIRE_TUN=1 it fails.
func NeedTUN(t testing.TB) {
	t.Helper()
	err := netns.Check()
	if err == nil && netns.NeedUserNS() {
		err = errors.New("run as root")
	}
	switch {
	case err == nil:
	case os.Getenv("TCPMANGLE_REQUIRE_TUN") == "1":
		t.Fatalf("TCPMANGLE_REQUIRE_TUN=1, but: %v", err)
	default:
		t.Skipf("needs a network namespace and a TUN device: %v", err)
	}
}
