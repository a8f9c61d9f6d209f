package bench

import (
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// The client's side of the load. Each kind of traffic is a service of the
// server, named by the first byte of a connection.
const (
	serviceSink = 'b' // bulk: reads and counts
	serviceEcho = 'e' // sends back what it reads
	serviceOnce = 'c' // sends one byte
)

const (
	bulkWrite  = 256 << 10 // bytes in a write
	pingLen    = 64        // bytes of a request, and of its response
	connectors = 4         // that open connections side by side
)

// A bulk is flows that send as fast as they can until stop.
type bulk struct {
	ended atomic.Bool
	flows sync.WaitGroup
	mu    sync.Mutex
	err   error
}

func startBulk(addr netip.AddrPort, flows int) *bulk {
	b := new(bulk)
	for range flows {
		b.flows.Go(func() { b.fail(b.flow(addr)) })
	}
	return b
}

func (b *bulk) flow(addr netip.AddrPort) error {
	s, err := dial(addr, serviceSink)
	if err != nil {
		return err
	}
	defer s.abort()
	data := make([]byte, bulkWrite)
	for err == nil && !b.ended.Load() {
		err = s.write(data)
	}
	return err
}

func (b *bulk) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = errors.Join(b.err, err)
}

func (b *bulk) stop() error {
	b.ended.Store(true)
	b.flows.Wait()
	return b.err
}

// ping sends requests one after the other, each when the response to the last
// has come, and records how long they took.
func ping(addr netip.AddrPort, d time.Duration, h *histogram) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := dial(addr, serviceEcho)
	if err != nil {
		return err
	}
	defer s.abort()
	if err := s.hurry(); err != nil {
		return err
	}
	message := make([]byte, pingLen)
	end := time.Now().Add(d)
	for now := time.Now(); now.Before(end); {
		if err := s.write(message); err != nil {
			return err
		}
		if err := s.fill(message); err != nil {
			return err
		}
		then := now
		now = time.Now()
		h.record(now.Sub(then))
	}
	return nil
}

// connect opens connections until d has passed and counts them: connect, a byte
// there, one back, which shows that the server has it, and an abort.
func connect(addr netip.AddrPort, d time.Duration) (n int, elapsed time.Duration, err error) {
	var (
		workers sync.WaitGroup
		total   atomic.Int64
		errs    [connectors]error
	)
	start := time.Now()
	for i := range errs {
		workers.Go(func() {
			for errs[i] == nil && time.Since(start) < d {
				errs[i] = connectOnce(addr)
				total.Add(1)
			}
		})
	}
	workers.Wait()
	return int(total.Load()), time.Since(start), errors.Join(errs[:]...)
}

func connectOnce(addr netip.AddrPort) error {
	s, err := dial(addr, serviceOnce)
	if err != nil {
		return err
	}
	defer s.abort()
	var one [1]byte
	return s.fill(one[:])
}
