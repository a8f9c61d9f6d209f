package tunneltest_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
)

// A worker waits, the test sends, and time is virtual: what takes an hour is exact
// and takes none.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := tunneltest.Pair(t)
		ended := make(chan error, 1)
		go func() { ended <- forwardLate(near, far, time.Hour) }()

		synctest.Wait() // the worker is durably blocked
		start := time.Now()
		near.Send(tunnel.Header{}, []byte("packet"))
		_, got, err := far.Receive(2 * time.Hour)
		if err != nil || string(got) != "packet" {
			t.Fatalf("got %q, %v", got, err)
		}
		if took := time.Since(start); took != time.Hour {
			t.Errorf("it took %v, want an hour and no more", took)
		}

		near.Close()
		if err := <-ended; !errors.Is(err, os.ErrClosed) {
			t.Errorf("the worker ended with %v, want os.ErrClosed", err)
		}
	})
}

// forwardLate carries packets from one device to the other, each after a delay.
func forwardLate(from, to tunnel.Device, delay time.Duration) error {
	p, err := tunnel.NewPoller(from.Queue(0), to.Queue(0))
	if err != nil {
		return err
	}
	defer p.Close()
	b := make([]byte, tunnel.MaxPacket)
	for {
		n, h, err := from.Queue(0).Read(b)
		if err == tunnel.ErrEmpty {
			err = p.Wait(-1)
		} else if err == nil {
			if err := p.Wait(delay); err != nil {
				return err
			}
			err = to.Queue(0).Write(h, b[:n], nil)
		}
		if err != nil {
			return err
		}
	}
}

// Wait's limit in a bubble is exact, and its timer does not ring twice.
func TestBubbleDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := tunneltest.Pair(t)
		p, err := tunnel.NewPoller(near.Queue(0), far.Queue(0))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for _, d := range []time.Duration{1, time.Microsecond, time.Second, 24 * time.Hour} {
			start := time.Now()
			if err := p.Wait(d); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != d {
				t.Errorf("Wait(%v) took %v", d, took)
			}
		}
	})
}

func TestReceiveTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := tunneltest.Pair(t)
		start := time.Now()
		if _, _, err := near.Receive(time.Minute); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Receive: %v, want os.ErrDeadlineExceeded", err)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("it took %v, want a minute", took)
		}
	})
}

func TestReceiveAfterClose(t *testing.T) {
	d := tunneltest.New(t)
	for i := range 3 {
		if err := d.Queue(0).Write(tunnel.Header{}, []byte{byte(i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	d.Close()
	for i := range 3 {
		if _, got, err := d.Receive(time.Second); err != nil || !bytes.Equal(got, []byte{byte(i)}) {
			t.Errorf("packet %d: %x, %v", i, got, err)
		}
	}
	if _, _, err := d.Receive(time.Second); !errors.Is(err, os.ErrClosed) {
		t.Errorf("then %v, want os.ErrClosed", err)
	}
	if d.Send(tunnel.Header{}, []byte{0}) {
		t.Error("a closed device took a packet")
	}
}

// Several goroutines may receive; each packet goes to one of them.
func TestReceiveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const packets = 100
		d := tunneltest.New(t)
		got := make(chan byte, packets)
		for range 10 {
			go func() {
				for {
					_, p, err := d.Receive(time.Minute)
					if err != nil {
						return
					}
					got <- p[0]
				}
			}()
		}
		synctest.Wait()
		for i := range packets {
			d.Queue(0).Write(tunnel.Header{}, []byte{byte(i)}, nil)
		}
		synctest.Wait()
		if len(got) != packets {
			t.Errorf("%d of %d packets were received", len(got), packets)
		}
		d.Close()
	})
}

func TestOptions(t *testing.T) {
	near, far := tunneltest.Pair(t)
	if near.Name() != "near" || far.Name() != "far" || near.MTU() != 1500 || near.Queues() != 1 || near.Offload() {
		t.Errorf("defaults: %s, %s, mtu %d, %d queues, offload %t", near.Name(), far.Name(), near.MTU(), near.Queues(), near.Offload())
	}
	near, far = tunneltest.Pair(t, tunneltest.WithOffload(true), tunneltest.WithQueues(3),
		tunneltest.WithMTU(9000), tunneltest.WithRing(1))
	for _, d := range []*tunneltest.Device{near, far} {
		if d.MTU() != 9000 || d.Queues() != 3 || !d.Offload() {
			t.Errorf("%s: mtu %d, %d queues, offload %t", d.Name(), d.MTU(), d.Queues(), d.Offload())
		}
		for i := range 3 {
			if !d.SendTo(i, tunnel.Header{}, []byte{0}) || d.SendTo(i, tunnel.Header{}, []byte{0}) {
				t.Errorf("%s: queue %d does not hold one packet", d.Name(), i)
			}
		}
		if n, err := d.Dropped(); n != 3 || err != nil || d.Pending() != 3 {
			t.Errorf("%s: Dropped() = %d, %v, Pending() = %d, want 3 and 3", d.Name(), n, err, d.Pending())
		}
	}
}

// Sending is as the kernel does it; a packet that it would not send fails the test.
func TestSendMisuse(t *testing.T) {
	fake := &recordingT{TB: t}
	d := tunneltest.New(fake)
	if d.Send(tunnel.Header{Flags: tunnel.NeedsCsum}, []byte{0}) || fake.errors != 1 {
		t.Errorf("a partial checksum without offload: %d errors, want 1", fake.errors)
	}
}

type recordingT struct {
	testing.TB
	errors int
}

func (t *recordingT) Errorf(string, ...any) { t.errors++ }

// Both directions of a connection meet in one queue, and connections spread.
func TestSteering(t *testing.T) {
	ipv4 := func(a, b [4]byte, p, q uint16) []byte {
		packet := append(make([]byte, 12), append(a[:], b[:]...)...)
		packet[0] = 0x45
		return append(packet, byte(p>>8), byte(p), byte(q>>8), byte(q))
	}
	ipv6 := func(a, b [4]byte, p, q uint16) []byte {
		packet := make([]byte, 40)
		packet[0] = 0x60
		copy(packet[20:], a[:])
		copy(packet[36:], b[:])
		return append(packet, byte(p>>8), byte(p), byte(q>>8), byte(q))
	}
	client, server := [4]byte{10, 77, 1, 1}, [4]byte{10, 77, 2, 1}
	for name, build := range map[string]func(a, b [4]byte, p, q uint16) []byte{"v4": ipv4, "v6": ipv6} {
		t.Run(name, func(t *testing.T) {
			near, far := tunneltest.Pair(t, tunneltest.WithQueues(4))
			var spread [4]int
			for port := range uint16(400) {
				near.Send(tunnel.Header{}, build(client, server, 40000+port, 8080))
				far.Send(tunnel.Header{}, build(server, client, 8080, 40000+port))
				there, back := find(t, near), find(t, far)
				if there != back {
					t.Fatalf("port %d: queue %d there, %d back", 40000+port, there, back)
				}
				spread[there]++
			}
			for i, n := range spread {
				if n < 50 {
					t.Errorf("queue %d has %d of 400 connections: %v", i, n, spread)
				}
			}
		})
	}
}

// A fragment has no ports: all of a datagram goes one way.
func TestSteeringFragments(t *testing.T) {
	d := tunneltest.New(t, tunneltest.WithQueues(4))
	queues := map[int]bool{}
	for port := range byte(50) {
		packet := make([]byte, 24)
		packet[0], packet[6], packet[21] = 0x45, 0x20, port // MF; source port
		d.Send(tunnel.Header{}, packet)
		queues[find(t, d)] = true
	}
	if len(queues) != 1 {
		t.Errorf("fragments between the same addresses went to queues %v", queues)
	}
}

// find reads the one packet that is waiting and tells its queue.
func find(t *testing.T, d tunnel.Device) int {
	t.Helper()
	b := make([]byte, tunnel.MaxPacket)
	for i := range d.Queues() {
		if _, _, err := d.Queue(i).Read(b); err == nil {
			return i
		}
	}
	t.Fatal("no packet is waiting")
	return -1
}

// However short or odd, a packet gets some queue.
func FuzzSend(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x45})
	f.Add([]byte{0x4f, 0, 0, 0})
	f.Add(bytes.Repeat([]byte{0x60}, 41))
	f.Fuzz(func(t *testing.T, packet []byte) {
		d := tunneltest.New(t, tunneltest.WithQueues(3))
		if !d.Send(tunnel.Header{}, packet) || d.Pending() != 1 {
			t.Errorf("%x was not taken", packet)
		}
	})
}

// The fake adds nothing to what an allocation test of others counts.
func TestNoAllocations(t *testing.T) {
	var written int
	d := tunneltest.New(t, tunneltest.WithSink(func(_ int, _ tunnel.Header, head, body []byte) {
		written += len(head) + len(body)
	}))
	packet, b := make([]byte, 1500), make([]byte, tunnel.MaxPacket)
	round := func() {
		d.Send(tunnel.Header{}, packet)
		n, h, err := d.Queue(0).Read(b)
		if err != nil {
			t.Fatal(err)
		}
		d.Queue(0).Write(h, b[:40], b[40:n])
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations for a packet", n)
	}
	if written != 101*1500 { // AllocsPerRun runs once more
		t.Errorf("the sink got %d bytes", written)
	}
}

// Whatever the order of pushes and pops, packets come out as they went in.
func TestRingOrder(t *testing.T) {
	d := tunneltest.New(t, tunneltest.WithRing(50))
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, tunnel.MaxPacket)
	sent, read := 0, 0
	for range 20000 {
		if random.IntN(2) == 0 {
			if d.Send(tunnel.Header{GSOSize: uint16(sent)}, fmt.Append(nil, sent)) {
				sent++
			}
			continue
		}
		n, h, err := d.Queue(0).Read(b)
		if err == tunnel.ErrEmpty && sent == read {
			continue
		}
		if want := fmt.Sprint(read); err != nil || string(b[:n]) != want || h.GSOSize != uint16(read) {
			t.Fatalf("got %q, %v, want packet %s", b[:n], err, want)
		}
		read++
	}
}
