package inline

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// What listens on the host's loopback sees a command as a client of the host: it comes from there,
// both ends are those of the kernels, and nothing of it is remembered.
func TestCellIsLocal(t *testing.T) {
	host := newHost(t)
	before := nstest.Face(t, host)
	t.Run("inside", func(t *testing.T) {
		c := inCell(t, host, &Names{}, "")
		for _, v6 := range []bool{false, true} {
			l := nstest.Listen(t, host, netip.AddrPortFrom(loopback(v6), 80).String())
			to := netip.AddrPortFrom(c.Gateway(v6), 80)
			near := dial(t, c.NS(), to)
			far := accept(t, l)
			if from := far.RemoteAddr().(*net.TCPAddr).AddrPort(); from.Addr() != loopback(v6) || from.Port() > 32767 {
				t.Errorf("the service sees %v", from)
			}
			if at := far.LocalAddr().(*net.TCPAddr).AddrPort(); at.Addr() != loopback(v6) {
				t.Errorf("the service is at %v", at)
			}
			transfer(t, near, far)
			transfer(t, far, near)
			halfClose(t, near, far)

			near = dial(t, c.NS(), to)
			far = accept(t, l)
			must(t, far.SetLinger(0))
			must(t, far.Close())
			if n, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("of a reset came %d, %v", n, err)
			}
			must(t, l.Close())
			if _, err := nstest.Dial(c.NS(), to); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("connecting to a closed port gave %v", err)
			}
		}
	})
	nstest.SameFace(t, host, before)
	if n := metricsOf(t, host); n != 0 {
		t.Errorf("the host remembers %d ways", n)
	}
}

// metricsOf counts the destinations of which a host remembers how connections to them went.
func metricsOf(t *testing.T, host *netns.NS) (n int) {
	t.Helper()
	must(t, host.Do(func() error {
		family, err := netlink.GenlFamilyGet("tcp_metrics")
		if err != nil {
			return err
		}
		const get = 1 // TCP_METRICS_CMD_GET
		req := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_DUMP)
		req.AddData(&nl.Genlmsg{Command: get, Version: uint8(family.Version)})
		all, err := req.Execute(unix.NETLINK_GENERIC, 0)
		n = len(all)
		return err
	}))
	return n
}

// A command does not meet a connection of the host's own, though the kernel has not tracked that.
func TestCellKeepsOffTheHostsConnections(t *testing.T) {
	host := newHost(t)
	must(t, host.Sysctl("net.ipv4.ip_local_port_range", "40000 40003"))
	l := nstest.Listen(t, host, "127.0.0.1:80")
	ours, theirs := dial(t, host, netip.MustParseAddrPort("127.0.0.1:80")), accept(t, l)
	c := inCell(t, host, &Names{}, "")
	must(t, c.NS().Sysctl("net.ipv4.ip_local_port_range", "40000 40003"))
	for range 4 {
		exchange(t, dial(t, c.NS(), netip.AddrPortFrom(c.Gateway(false), 80)), accept(t, l), "a command's")
	}
	exchange(t, ours, theirs, "the host's")
}

func TestPortsApart(t *testing.T) {
	host := newHost(t)
	for _, row := range []struct {
		clients string
		want    [2]uint16
	}{
		{"32768 60999", [2]uint16{1024, 32767}},
		{"2000 60000", [2]uint16{60001, 65535}},
		{"1024 65535", [2]uint16{}},
		{"1025 65535", [2]uint16{1024, 1024}},
	} {
		must(t, host.Sysctl("net.ipv4.ip_local_port_range", row.clients))
		if got, err := portsApart(host); got != row.want || err != nil {
			t.Errorf("%s: %v, %v, want %v", row.clients, got, err, row.want)
		}
	}
}
