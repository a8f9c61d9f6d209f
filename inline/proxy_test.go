package inline

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// proxied is a proxy in a host of its own, with a service and a box.
func proxied(t *testing.T, s Service) (*netns.NS, *Proxy) {
	t.Helper()
	stateDir = t.TempDir()
	host := newHost(t)
	p, err := NewProxy(host, tunnel.Config{})
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	_, err = p.Add(s)
	must(t, err)
	run(t, &p.Way, "")
	return host, p
}

var redis = Service{
	Name:     "redis",
	Address:  netip.MustParseAddrPort("198.18.0.2:6379"),
	Upstream: netip.MustParseAddrPort("127.0.0.1:6379"),
}

func TestProxyIsEndToEnd(t *testing.T) {
	host, p := proxied(t, redis)
	l := listen(t, host, redis.Upstream)
	near := dial(t, host, redis.Address)
	far, err := l.Accept()
	must(t, err)
	defer far.Close()
	for _, c := range []net.Conn{near, far} {
		must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	}
	exchange(t, near, far, "hello")

	must(t, near.(*net.TCPConn).CloseWrite())
	if rest, err := io.ReadAll(far); err != nil || len(rest) > 0 {
		t.Fatalf("instead of the end of the stream came %q, %v", rest, err)
	}
	if _, err := far.Write([]byte("after the half-close")); err != nil {
		t.Fatal(err)
	}
	must(t, far.Close())
	if rest, err := io.ReadAll(near); err != nil || string(rest) != "after the half-close" {
		t.Errorf("of the half-closed connection came %q, %v", rest, err)
	}
	must(t, p.Remove(redis.Address))
}

func TestProxyRefusesAsTheUpstreamDoes(t *testing.T) {
	host, _ := proxied(t, redis)
	c, err := dialed(host, redis.Address)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to a closed port gave %v, %v", c, err)
	}
}

func TestProxyKnowsItsServices(t *testing.T) {
	_, p := proxied(t, redis)
	if _, err := p.Add(redis); !errors.Is(err, errTaken) {
		t.Errorf("the same address again: %v", err)
	}
	mixed := Service{Name: "mixed", Address: netip.MustParseAddrPort("198.18.0.3:1"), Upstream: netip.MustParseAddrPort("[fd00::1]:1")}
	if _, err := p.Add(mixed); !errors.Is(err, errFamily) {
		t.Errorf("IPv4 in front of IPv6: %v", err)
	}
	second := redis
	second.Address = netip.AddrPortFrom(redis.Address.Addr(), 6380)
	_, err := p.Add(second)
	must(t, err)
	must(t, p.Remove(redis.Address))
	must(t, p.Remove(second.Address))
}
