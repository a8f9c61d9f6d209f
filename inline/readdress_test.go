package inline

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
)

// A facade is the device towards the upstreams: the box writes to queue, the upstream is behind dev.
type facade struct {
	t     *testing.T
	dev   *tunneltest.Device
	queue tunnel.Queue
	buf   []byte
}

func newFacade(t *testing.T, b *book) *facade {
	dev := tunneltest.New(t, tunneltest.WithOffload(true))
	return &facade{t, dev, readdress(dev, b).Queue(0), make([]byte, tunnel.MaxPacket)}
}

// out is what comes out to the upstream of a packet that the box writes in two parts.
func (f *facade) out(h tunnel.Header, head, body []byte) []byte {
	f.t.Helper()
	before := bytes.Clone(head)
	must(f.t, f.queue.Write(h, head, body))
	if !bytes.Equal(head, before) {
		f.t.Error("the box's bytes were changed")
	}
	_, packet, err := f.dev.Receive(10 * time.Second)
	must(f.t, err)
	return packet
}

// in is what the box reads of a packet of the upstream's.
func (f *facade) in(packet []byte) []byte {
	f.t.Helper()
	f.dev.Send(tunnel.Header{}, packet)
	n, _, err := f.queue.Read(f.buf)
	must(f.t, err)
	return f.buf[:n]
}

// refuses wants a packet that belongs to no service to end here, in both directions.
func (f *facade) refuses(packet []byte) {
	f.t.Helper()
	if err := f.queue.Write(tunnel.Header{}, packet, nil); err != errNobody {
		f.t.Errorf("written, it is %v", err)
	}
	f.dev.Send(tunnel.Header{}, packet)
	if n, _, err := f.queue.Read(f.buf); err != tunnel.ErrEmpty {
		f.t.Errorf("read, it is %x, %v", f.buf[:n], err)
	}
}

// segment is one with a payload, its checksums valid.
func segment(src, dst netip.AddrPort) *wire.Build {
	return &wire.Build{Src: src, Dst: dst, Seq: 1000, Ack: 2000, Flags: wire.ACK, Window: 500, Payload: []byte("payload")}
}

// A packet is readdressed to the very one that would have been built so.
func TestReaddress(t *testing.T) {
	for _, s := range []struct {
		client netip.AddrPort
		Service
	}{{aClient, redis}, {aClient6, redis6}} {
		f := newFacade(t, newTestBook(t, redis, redis6))
		packet := segment(s.client, s.Address).Append(nil)
		got := f.out(tunnel.Header{}, packet, nil)
		src, dst := addressesOf(t, got)
		if dst != s.Upstream || !bytes.Equal(got, segment(src, s.Upstream).Append(nil)) {
			t.Errorf("to the upstream went\n%x", got)
		}
		header := len(packet) - len("payload")
		for _, cut := range []int{header, header + 3} {
			if again := f.out(tunnel.Header{}, packet[:cut], packet[cut:]); !bytes.Equal(again, got) {
				t.Errorf("in two parts it is\n%x, not\n%x", again, got)
			}
		}
		if back := f.in(segment(s.Upstream, src).Append(nil)); !bytes.Equal(back, segment(s.Address, s.client).Append(nil)) {
			t.Errorf("back came\n%x", back)
		}
		f.refuses(segment(s.Upstream, s.client).Append(nil))
	}
}

func addressesOf(t *testing.T, packet []byte) (src, dst netip.AddrPort) {
	t.Helper()
	p, ok := wire.Headers(packet, false)
	if !ok {
		t.Fatalf("no segment: %x", packet)
	}
	return ends(&p)
}

// ICMP errors about what was readdressed come to who has sent it, as from whom it was sent to.
func TestReaddressErrors(t *testing.T) {
	router, router6 := netip.MustParseAddr("192.0.2.254"), netip.MustParseAddr("2001:db8::fe")
	for _, row := range []struct {
		client netip.AddrPort
		Service
		router netip.Addr
		kind   uint8
	}{{aClient, redis, router, wire.ICMPv4Unreachable}, {aClient6, redis6, router6, wire.ICMPv6Unreachable}} {
		f := newFacade(t, newTestBook(t, redis, redis6))
		out := f.out(tunnel.Header{}, segment(row.client, row.Address).Append(nil), nil)
		pool, _ := addressesOf(t, out)
		report := func(from netip.Addr, to netip.AddrPort, quote []byte) []byte {
			return (&wire.ICMPBuild{From: from, To: to.Addr(), Type: row.kind, Quote: quote}).Append(nil)
		}
		for _, from := range []netip.Addr{row.router, row.Upstream.Addr()} {
			seen := from
			if from == row.Upstream.Addr() {
				seen = row.Address.Addr()
			}
			e, ok := wire.ParseICMPError(f.in(report(from, pool, out)))
			if !ok || e.From != seen || e.To != row.client.Addr() || e.Src != row.client || e.Dst != row.Address {
				t.Errorf("of an error by %v came %+v, %v", from, e, ok)
			}
		}
		answer := segment(row.Address, row.client).Append(nil) // as the client saw it
		e, ok := wire.ParseICMPError(f.out(tunnel.Header{}, report(row.client.Addr(), row.Address, answer), nil))
		if !ok || e.From != pool.Addr() || e.To != row.Upstream.Addr() || e.Src != row.Upstream || e.Dst != pool {
			t.Errorf("of the client's error came %+v, %v", e, ok)
		}
		f.refuses(report(row.router, row.client, segment(row.Upstream, row.client).Append(nil)))
	}
}

func TestReaddressAllocatesNothing(t *testing.T) {
	b := newTestBook(t, redis)
	dev := tunneltest.New(t, tunneltest.WithSink(func(int, tunnel.Header, []byte, []byte) {}))
	q := readdress(dev, b).Queue(0)
	packet := segment(aClient, redis.Address).Append(nil)
	must(t, q.Write(tunnel.Header{}, packet, nil))
	if n := testing.AllocsPerRun(1000, func() { _ = q.Write(tunnel.Header{}, packet, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
