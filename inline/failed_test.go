package inline

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A start that fails in the middle, at whatever is in its way, leaves a host behind a firewall as it
// was, and no record.
func TestStartFailsInTheMiddle(t *testing.T) {
	attach := func(host *netns.NS) (io.Closer, error) {
		return Attach(host, service, tunnel.Config{})
	}
	proxy := func(host *netns.NS) (io.Closer, error) { return NewProxy(host, tunnel.Config{}) }
	cell := func(host *netns.NS) (io.Closer, error) {
		return NewCell(host, &Names{}, tunnel.Config{MTU: 500})
	}
	nothing := func(*netns.NS) error { return nil }
	add := func(s Service) func(*netns.NS) (io.Closer, error) {
		return func(host *netns.NS) (io.Closer, error) {
			p, err := NewProxy(host, tunnel.Config{})
			if err == nil {
				if _, err = p.Add(s); err != nil {
					err = errors.Join(err, p.Close())
				}
			}
			return p, err
		}
	}
	device := func(name string) func(*netns.NS) error {
		return func(host *netns.NS) error {
			return host.Do(func() error {
				return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "theirs"})
			})
		}
	}
	claim := func(dst string) func(*netns.NS) error {
		return func(host *netns.NS) error { return host.Claim(netip.MustParsePrefix(dst), "eth0") }
	}
	table := func(table int, v6 bool) func(*netns.NS) error {
		return func(host *netns.NS) error { return host.DefaultRoute(v6, "eth0", table) }
	}
	far := netip.MustParseAddrPort("10.79.0.2:80")
	for _, row := range []struct {
		name  string
		spoil func(*netns.NS) error
		start func(*netns.NS) (io.Closer, error)
		want  error
	}{
		{"attach, second device", device(localName), attach, nil},
		{"attach, first table", table(outerTable, false), attach, syscall.EEXIST},
		{"attach, second table", table(localTable, false), attach, syscall.EEXIST},
		{"attach, last table", table(localTable, true), attach, syscall.EEXIST},
		{"proxy, second device", device(upstreamName), proxy, nil},
		{"proxy, first pool", claim("198.19.0.0/16"), proxy, syscall.EEXIST},
		{"cell, addresses of IPv6 on what is too small for them", nothing, cell, nil},
		{"service, address", claim("198.18.0.9/32"), add(Service{Address: netip.MustParseAddrPort("198.18.0.9:80"), Upstream: far}), syscall.EEXIST},
		{
			"service, port", func(host *netns.NS) error { nstest.Listen(t, host, "127.0.0.1:81"); return nil },
			add(Service{Upstream: far, Listen: netip.MustParseAddrPort("127.0.0.1:81")}), syscall.EADDRINUSE,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			host, other := newHost(t), newHost(t)
			nstest.Wire(t, 0, host, other)
			nstest.Firewall(t, host)
			must(t, row.spoil(host))
			before := nstest.Face(t, host)
			w, err := row.start(host)
			if err == nil {
				w.Close()
				t.Fatal("nothing was in the way")
			}
			if row.want != nil && !errors.Is(err, row.want) {
				t.Errorf("%v, want %v", err, row.want)
			}
			nstest.SameFace(t, host, before)
			if files, err := os.ReadDir(stateDir); err != nil || len(files) != 1 || files[0].Name() != "lock" {
				t.Errorf("the folder of records holds %v, %v", files, err)
			}
		})
	}
}
