package inline

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// fold is the ones' complement sum of an address.
func fold(a netip.Addr) (sum uint32) {
	b := a.As16()
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return sum
}

func TestStandInHasTheChecksumOfLoopback(t *testing.T) {
	if got, want := fold(standIn), fold(netip.IPv6Loopback()); got != want || !pool6.Contains(standIn) {
		t.Errorf("the sum of %v is %#x, want %#x", standIn, got, want)
	}
}

var onLoopback6 = Service{Name: "six", Address: netip.MustParseAddrPort("[fd79:0:0:18::2]:6379"), Upstream: netip.MustParseAddrPort("[::1]:6379")}

// What is bound to ::1 is reached end to end, by the virtual address and by one of the loopback.
func TestProxyToLoopback6(t *testing.T) {
	host := newHost(t)
	before := nstest.Face(t, host)
	t.Run("through the box", func(t *testing.T) {
		p := proxied(t, host)
		l := nstest.Listen(t, host, onLoopback6.Upstream.String())
		s := onLoopback6
		s.Listen = netip.MustParseAddrPort("[::1]:0")
		s = put(t, p, s)
		for _, to := range []netip.AddrPort{s.Address, s.Listen} {
			near := dial(t, host, to)
			far := accept(t, l)
			exchange(t, near, far, "hello")
			transfer(t, near, far)
			transfer(t, far, near)
			halfClose(t, near, far)
		}
		must(t, l.Close())
		for _, to := range []netip.AddrPort{s.Address, s.Listen} {
			if c, err := nstest.Dial(host, to); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("connecting to a closed port by %v gave %v, %v", to, c, err)
			}
		}
		must(t, p.Remove(s.Address))
	})
	nstest.SameFace(t, host, before)
}

// transfer sends so much that super-packets go, if they can.
func transfer(t *testing.T, from io.Writer, to io.Reader) {
	t.Helper()
	const size = 4 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(make([]byte, size))
		sent <- err
	}()
	_, err := io.CopyN(io.Discard, to, size)
	must(t, errors.Join(err, <-sent))
}

// Packets for ::1 go to its stand-in, and what they say stays: the segment's checksum, and whose
// segment an ICMP error is about.
func TestReaddressToLoopback6(t *testing.T) {
	f := newFacade(t, newTestBook(t, onLoopback6))
	got := f.out(tunnel.Header{}, segment(aClient6, onLoopback6.Address).Append(nil), nil)
	pool, dst := addressesOf(t, got)
	if dst != entry(onLoopback6.Upstream) || dst.Addr() != standIn {
		t.Errorf("to %v", dst)
	}
	copy(got[24:], netip.IPv6Loopback().AsSlice()) // as nftables does
	if want := segment(pool, onLoopback6.Upstream).Append(nil); !bytes.Equal(got, want) {
		t.Errorf("the service gets\n%x, want\n%x", got, want)
	}
	if back := f.in(segment(onLoopback6.Upstream, pool).Append(nil)); !bytes.Equal(back, segment(onLoopback6.Address, aClient6).Append(nil)) {
		t.Errorf("back came\n%x", back)
	}
	answer := segment(onLoopback6.Address, aClient6).Append(nil)
	report := &wire.ICMPBuild{From: aClient6.Addr(), To: onLoopback6.Address.Addr(), Type: wire.ICMPv6Unreachable, Quote: answer}
	e, ok := wire.ParseICMPError(f.out(tunnel.Header{}, report.Append(nil), nil))
	if !ok || e.To != standIn || e.Src != onLoopback6.Upstream || e.Dst != pool {
		t.Errorf("of the client's error came %+v, %v", e, ok)
	}
}

// A checksum that a rule has made wrong is wrong at ::1, too.
func TestFaultsReachLoopback6(t *testing.T) {
	host := newHost(t)
	p, err := NewProxy(host, tunnel.Config{})
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	run(t, &p.Way, `[[rule]]
		name   = "wrong"
		match  = { from = "client", segment = "data" }
		nth    = 1
		action = { corrupt = { checksum = "keep" } }`)
	put(t, p, onLoopback6)
	l := nstest.Listen(t, host, onLoopback6.Upstream.String())
	before := checksumErrors(t, host)
	near := dial(t, host, onLoopback6.Address)
	exchange(t, near, accept(t, l), "by a retransmission")
	if got := checksumErrors(t, host) - before; got != 1 {
		t.Errorf("the kernel has met %d wrong checksums, want 1", got)
	}
}

// checksumErrors is how many TCP segments with wrong checksums a host has got.
func checksumErrors(t *testing.T, host *netns.NS) (n int) {
	t.Helper()
	must(t, host.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		var names []string
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			if words[0] != "Tcp:" {
				continue
			}
			if names == nil {
				names = words
				continue
			}
			n, err = strconv.Atoi(words[slices.Index(names, "InCsumErrors")])
		}
		return err
	}))
	return n
}
