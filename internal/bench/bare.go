package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A bare is one thread that reads from either device of a stage and writes to the other,
// as a box without a thought would: what a box with one worker can reach at most here.
type bare struct {
	inlets  [2]tunnel.Queue
	poller  tunnel.Poller
	packet  []byte
	stopped atomic.Bool
	ended   chan error
}

func openBare(r *run) (*way, error) {
	s, err := r.stage(offloadStage)
	if err != nil {
		return nil, err
	}
	b := &bare{packet: make([]byte, tunnel.MaxPacket), ended: make(chan error, 1)}
	for side, d := range s.devices {
		b.inlets[side] = d.Queue(0)
	}
	if b.poller, err = tunnel.NewPoller(b.inlets[:]...); err != nil {
		return nil, err
	}
	go func() { b.ended <- b.run() }()
	return &way{s.client, s.server, netip.AddrPortFrom(serverAddr, serverPort), os.Getpid(), b.close}, nil
}

// patientFor is how long a bare looks for packets before it waits, as long as a worker.
const patientFor = 30 * time.Microsecond

func (b *bare) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	last := time.Now()
	for !b.stopped.Load() {
		n, err := b.forwardAll()
		switch {
		case err != nil:
			return err
		case n > 0:
			last = time.Now()
		case time.Since(last) > patientFor:
			if err := b.poller.Wait(-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// forwardAll forwards what both queues have, up to a burst of each.
func (b *bare) forwardAll() (n int, err error) {
	const burst = 64
	for side, in := range b.inlets {
		for range burst {
			size, header, err := in.Read(b.packet)
			if errors.Is(err, tunnel.ErrEmpty) {
				break
			}
			if err != nil {
				return n, fmt.Errorf("bare forwarding: %w", err)
			}
			_ = b.inlets[1-side].Write(header, b.packet[:size], nil) // what is refused is lost
			n++
		}
	}
	return n, nil
}

func (b *bare) close() error {
	b.stopped.Store(true)
	b.poller.Wake()
	return errors.Join(<-b.ended, b.poller.Close())
}
