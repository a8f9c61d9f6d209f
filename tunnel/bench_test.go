package tunnel_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

// What a device takes: small packets that the kernel drops at once, so that the
// cost is ours and the system call's.
func BenchmarkWrite(b *testing.B) {
	for _, mode := range []tunnel.OffloadMode{tunnel.Off, tunnel.On} {
		b.Run(mode.String(), func(b *testing.B) {
			ns := newNetns(b)
			ns.silence(b)
			d := ns.open(b, tunnel.Config{Offload: mode})
			if err := tunnel.Up(d); err != nil {
				b.Fatal(err)
			}
			q, packet := d.Queue(0), tcpIPv4(100)
			b.ReportAllocs()
			for b.Loop() {
				if err := q.Write(tunnel.Header{}, packet[:40], packet[40:]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}

// A worker with something due asks before each wait. Here a wake-up is there
// already, and the due time is the same or another each time.
func BenchmarkWait(b *testing.B) {
	ns := newNetns(b)
	d := ns.open(b, tunnel.Config{})
	for name, step := range map[string]time.Duration{"same deadline": 0, "other deadline": time.Second} {
		b.Run(name, func(b *testing.B) {
			p, err := tunnel.NewPoller(d.Queue(0))
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			due := time.Now().Add(time.Hour)
			b.ReportAllocs()
			for b.Loop() {
				p.Wake()
				if err := p.Wait(time.Until(due)); err != nil {
					b.Fatal(err)
				}
				due = due.Add(step)
			}
		})
	}
}

// Bulk TCP there and back through one worker.
func BenchmarkForwardTCP(b *testing.B) {
	for _, mode := range []tunnel.OffloadMode{tunnel.Off, tunnel.On} {
		b.Run(mode.String(), func(b *testing.B) {
			client := newHost(b, mode, [2]string{"10.77.1.1", "fd77:1::1"})
			server := newHost(b, mode, [2]string{"10.77.2.1", "fd77:2::1"})
			f := &forwarder{devices: [2]tunnel.Device{client.dev, server.dev}}
			ended := make(chan error, 1)
			go func() { ended <- f.run() }()

			payload := make([]byte, 64<<20)
			b.SetBytes(2 * int64(len(payload)))
			for b.Loop() {
				transfer(b, client.ns, server.ns, server.addrs[0], payload)
			}
			if err := errors.Join(client.dev.Close(), server.dev.Close(), <-ended); err != nil {
				b.Fatal(err)
			}
		})
	}
}
