package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
)

// A counted is a device that counts how often its queues are read.
type counted struct {
	tunnel.Device
	reads *atomic.Int64
}

type countedQueue struct {
	tunnel.Source
	reads *atomic.Int64
}

func (d counted) Queue(i int) tunnel.Queue {
	return countedQueue{d.Device.Queue(i).(tunnel.Source), d.reads}
}

func (q countedQueue) Read(b []byte) (int, tunnel.Header, error) {
	q.reads.Add(1)
	return q.Source.Read(b)
}

// An Engine without packets sleeps, also one that looks for them for a while first.
func TestIdleEngineSleeps(t *testing.T) {
	for _, busyPoll := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			near, far := tunneltest.Pair(t)
			var reads atomic.Int64
			eng, err := engine.New(engine.Config{
				Devices: [2]tunnel.Device{counted{near, &reads}, counted{far, &reads}}, BusyPoll: busyPoll,
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			r := &rig{eng, t, [2]*tunneltest.Device{near, far}, cancel, make(chan error, 1)}
			go func() { r.done <- eng.Run(ctx) }()
			r.send(handshake(0)...)
			for i := range uint32(100) {
				r.send(segment{from: client, flags: wire.ACK, seq: 1 + 10*i, ack: 1, size: 10})
			}
			if n := r.received(server); n != 102 {
				t.Fatalf("%d packets have arrived, want 102", n)
			}
			before := reads.Load()
			time.Sleep(time.Hour)
			if n := reads.Load() - before; n > 0 {
				t.Errorf("busy-poll %t: %d reads in an hour without a packet", busyPoll, n)
			}
			r.end()
		})
	}
}
