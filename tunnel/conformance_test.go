package tunnel_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

func TestRead(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		for _, payload := range []int{0, 1, 2, 100, 1459, 1460} {
			want := tcpIPv4(payload)
			r.put(tunnel.Header{}, want)
			h, got := r.read(t)
			if h.NeedsOffload() || h.GSO() != 0 {
				t.Errorf("payload %d: header %+v of a complete segment", payload, h)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("payload %d: got %d bytes %x, want %d bytes %x", payload, len(got), got, len(want), want)
			}
		}
	})
}

func TestReadDry(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		b := make([]byte, tunnel.MaxPacket)
		for range 2 {
			if n, _, err := r.dev.Queue(0).Read(b); err != tunnel.ErrEmpty || n != 0 {
				t.Fatalf("Read of a dry queue = %d, %v, want 0 and ErrEmpty itself", n, err)
			}
		}
	})
}

// The kernel would cut a packet and not tell.
func TestReadShortBuffer(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		r.put(tunnel.Header{}, tcpIPv4(1))
		_, _, err := r.dev.Queue(0).Read(make([]byte, tunnel.MaxPacket-1))
		if !errors.Is(err, io.ErrShortBuffer) {
			t.Errorf("Read into a short buffer: %v, want io.ErrShortBuffer", err)
		}
		if _, got := r.read(t); len(got) != 41 {
			t.Errorf("then %d bytes, want the packet of 41", len(got))
		}
	})
}

func TestReadOrder(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		const n = 50
		for i := range n {
			r.put(tunnel.Header{}, tcpIPv4(i))
		}
		for i := range n {
			if _, got := r.read(t); len(got) != 40+i {
				t.Fatalf("packet %d has %d bytes, want %d", i, len(got), 40+i)
			}
		}
	})
}

// However a packet is cut in two, one whole packet arrives.
func TestWrite(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		want := tcpIPv4(1460)
		for _, cut := range []int{len(want), 1, 20, 40, 41, 1000, len(want) - 1} {
			head, body := want[:cut], want[cut:]
			if len(body) == 0 {
				body = nil
			}
			if err := r.dev.Queue(0).Write(tunnel.Header{}, head, body); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			h, got, err := r.take()
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			if h.NeedsOffload() || !bytes.Equal(got, want) {
				t.Errorf("cut at %d: got %+v, %x, want %x", cut, h, got, want)
			}
		}
	})
}

// Write does not keep the slices: the worker uses the buffer again at once.
func TestWriteKeepsNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		want := tcpIPv4(100)
		head, body := bytes.Clone(want[:40]), bytes.Clone(want[40:])
		if err := r.dev.Queue(0).Write(tunnel.Header{}, head, body); err != nil {
			t.Fatal(err)
		}
		clear(head)
		clear(body)
		if _, got, err := r.take(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %x, %v, want %x", got, err, want)
		}
	})
}

// A super-packet goes through as one, header and all, or is refused.
func TestSuperPacket(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		want, wantHeader := tcpIPv4(10000), superIPv4(1000)
		err := r.dev.Queue(0).Write(wantHeader, want[:40], want[40:])
		if !r.dev.Offload() {
			if !errors.Is(err, tunnel.ErrOffload) {
				t.Errorf("Write of a super-packet: %v, want ErrOffload", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		h, got, err := r.take()
		if err != nil {
			t.Fatal(err)
		}
		checkSuper(t, "written", h, got, wantHeader, want)

		r.put(wantHeader, want)
		h, got = r.read(t)
		checkSuper(t, "read", h, got, wantHeader, want)
	})
}

// checkSuper leaves out HdrLen, a hint of which the kernel makes its own.
func checkSuper(t *testing.T, how string, h tunnel.Header, packet []byte, wantHeader tunnel.Header, want []byte) {
	t.Helper()
	h.HdrLen = wantHeader.HdrLen
	if h != wantHeader {
		t.Errorf("%s: header %+v, want %+v", how, h, wantHeader)
	}
	if h.GSO() != 1000 || !h.Partial() {
		t.Errorf("%s: GSO %d, Partial %t, want 1000, true", how, h.GSO(), h.Partial())
	}
	if !bytes.Equal(packet, want) {
		t.Errorf("%s: got %d bytes, want the same %d", how, len(packet), len(want))
	}
}

func TestPartialChecksumNeedsOffload(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		h := tunnel.Header{Flags: tunnel.NeedsCsum, CsumStart: 20, CsumOffset: 16}
		err := r.dev.Queue(0).Write(h, tcpIPv4(10), nil)
		if want := !r.dev.Offload(); errors.Is(err, tunnel.ErrOffload) != want {
			t.Errorf("Write of a partial checksum: %v, want ErrOffload: %t", err, want)
		}
	})
}

func TestDropped(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		const extra = 50
		for range r.ring + extra {
			r.put(tunnel.Header{}, tcpIPv4(0))
		}
		if n, err := r.dev.Dropped(); err != nil || n != extra {
			t.Errorf("Dropped() = %d, %v, want %d of %d", n, err, extra, r.ring+extra)
		}
		read := 0
		for b := make([]byte, tunnel.MaxPacket); ; read++ {
			if _, _, err := r.dev.Queue(0).Read(b); err != nil {
				break
			}
		}
		if read != r.ring {
			t.Errorf("read %d packets, want the %d that fit", read, r.ring)
		}
		if err := r.dev.Close(); err != nil {
			t.Fatal(err)
		}
		if n, err := r.dev.Dropped(); err != nil || n != extra {
			t.Errorf("after Close, Dropped() = %d, %v, want %d", n, err, extra)
		}
	})
}

func TestClose(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		for i := range 2 {
			if err := r.dev.Close(); err != nil {
				t.Errorf("Close %d: %v", i+1, err)
			}
		}
		q := r.dev.Queue(0)
		if _, _, err := q.Read(make([]byte, tunnel.MaxPacket)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read after Close: %v, want os.ErrClosed", err)
		}
		if err := q.Write(tunnel.Header{}, tcpIPv4(0), nil); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Write after Close: %v, want os.ErrClosed", err)
		}
	})
}

// Close may come at any time. The race detector has its say, and so would a
// descriptor that is somebody else's by then.
func TestCloseMeanwhile(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		q, p := r.dev.Queue(0), r.poller(t)
		var worker sync.WaitGroup
		worker.Go(func() {
			b, packet := make([]byte, tunnel.MaxPacket), tcpIPv4(10)
			for {
				if err := p.Wait(time.Millisecond); err != nil {
					t.Errorf("Wait: %v", err)
					return
				}
				_, _, err := q.Read(b)
				if errors.Is(err, os.ErrClosed) {
					return
				}
				if err := q.Write(tunnel.Header{}, packet, nil); err != nil && !errors.Is(err, os.ErrClosed) {
					t.Errorf("Write: %v", err)
				}
			}
		})
		time.Sleep(3 * time.Millisecond)
		if err := r.dev.Close(); err != nil {
			t.Error(err)
		}
		worker.Wait()
	})
}

// The path of a passing packet allocates nothing.
func TestAllocations(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		q, p := r.dev.Queue(0), r.poller(t)
		b, packet := make([]byte, tunnel.MaxPacket), tcpIPv4(1000)
		check := func(what string, f func()) {
			t.Helper()
			if n := testing.AllocsPerRun(50, f); n != 0 {
				t.Errorf("%s: %v allocations", what, n)
			}
		}
		check("dry Read", func() { q.Read(b) })
		check("Wait(0)", func() { p.Wait(0) })
		check("Wait(10µs)", func() { p.Wait(10 * time.Microsecond) })
		check("Wake, Wait", func() { p.Wake(); p.Wait(-1) })

		for range 60 {
			r.put(tunnel.Header{}, packet)
		}
		check("Read", func() {
			if _, _, err := q.Read(b); err != nil {
				t.Fatal(err)
			}
		})
		if _, fake := q.(tunnel.Source); fake {
			return // it keeps a copy of what is written, unless it has a sink
		}
		check("Write", func() { q.Write(tunnel.Header{}, packet, nil) })
		check("Write of two parts", func() { q.Write(tunnel.Header{}, packet[:40], packet[40:]) })
	})
}
