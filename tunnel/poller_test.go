package tunnel_test

import (
	"errors"
	"math"
	"os"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
)

// waits starts a Wait and returns where its error will come.
func waits(p tunnel.Poller, d time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() { done <- p.Wait(d) }()
	return done
}

// returns fails the test if the Wait does not end without an error.
func returns(t *testing.T, why string, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Wait: %v", err)
		}
	case <-time.After(receiveTimeout):
		t.Fatalf("Wait has not returned: %s", why)
	}
}

// blocks fails the test if the Wait has ended. That it blocks for ever nobody can
// see; a wrong one ends at once.
func blocks(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		t.Fatalf("Wait returned %v, and nothing had happened", err)
	case <-time.After(20 * time.Millisecond):
	}
}

func blocksUntilWake(t *testing.T, p tunnel.Poller) {
	t.Helper()
	done := waits(p, -1)
	blocks(t, done)
	p.Wake()
	returns(t, "it was woken", done)
}

func TestWaitForPacket(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		p := r.poller(t)
		for _, d := range []time.Duration{-1, time.Hour, math.MaxInt64} {
			done := waits(p, d)
			blocks(t, done)
			r.put(tunnel.Header{}, tcpIPv4(0))
			returns(t, "a packet came", done)
			returns(t, "the packet is still there", waits(p, d))
			r.read(t)
		}
		blocksUntilWake(t, p)
	})
}

func TestWake(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		p := r.poller(t)
		p.Wake()
		p.Wake()
		returns(t, "it was woken before", waits(p, -1))
		blocksUntilWake(t, p) // two wake-ups are one
	})
}

// Wait is never early, and its best is far below the millisecond that a Go timer
// or epoll's own timeout would take.
func TestWaitPrecision(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		p := r.poller(t)
		const d = 150 * time.Microsecond
		best := time.Hour
		for range 100 {
			start := time.Now()
			if err := p.Wait(d); err != nil {
				t.Fatal(err)
			}
			late := time.Since(start) - d
			if late < 0 {
				t.Fatalf("Wait(%v) returned after %v", d, d+late)
			}
			best = min(best, late)
		}
		if _, fake := r.dev.Queue(0).(tunnel.Source); !fake && best > 500*time.Microsecond {
			t.Errorf("late by %v at best", best)
		}
	})
}

// An alarm of an earlier Wait neither ends a later one nor keeps it.
func TestWaitAfterOtherDeadline(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		p := r.poller(t)
		leave := func(d time.Duration) { // an alarm set and not rung
			p.Wake()
			if err := p.Wait(d); err != nil {
				t.Fatal(err)
			}
		}
		leave(2 * time.Millisecond)
		start := time.Now()
		p.Wait(10 * time.Millisecond)
		if took := time.Since(start); took < 10*time.Millisecond {
			t.Errorf("Wait(10ms) returned after %v, at the alarm before", took)
		}
		best := time.Hour
		for range 10 {
			leave(100 * time.Millisecond)
			start := time.Now()
			p.Wait(time.Millisecond)
			best = min(best, time.Since(start))
		}
		if best > 50*time.Millisecond {
			t.Errorf("Wait(1ms) returned after %v at best, at the alarm before", best)
		}
		leave(time.Millisecond)
		blocksUntilWake(t, p)
	})
}

func TestWaitZero(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		p := r.poller(t)
		p.Wake()
		for range 3 {
			returns(t, "it should only look", waits(p, 0))
		}
		blocksUntilWake(t, p) // the first Wait took the wake-up
	})
}

func TestCloseUnblocksWait(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		p := r.poller(t)
		done := waits(p, -1)
		blocks(t, done)
		if err := r.dev.Close(); err != nil {
			t.Fatal(err)
		}
		returns(t, "its queue was closed", done)
		for range 2 {
			returns(t, "its queue is closed", waits(p, -1))
		}
	})
}

func TestClosedPoller(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		p := r.poller(t)
		for i := range 2 {
			if err := p.Close(); err != nil {
				t.Errorf("Close %d: %v", i+1, err)
			}
		}
		p.Wake()
		if err := p.Wait(-1); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Wait after Close: %v, want os.ErrClosed", err)
		}
		r.put(tunnel.Header{}, tcpIPv4(0)) // finds nobody to tell
		if err := r.dev.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A Wake from anywhere is not lost, however it falls.
func TestWakeStorm(t *testing.T) {
	eachBackend(t, func(t *testing.T, r *rig) {
		p := r.poller(t)
		const rounds = 2000
		turn := make(chan int, 1)
		go func() {
			for i := range rounds {
				turn <- i
				p.Wake()
			}
		}()
		done := make(chan error, 1)
		go func() {
			for seen := 0; seen < rounds; {
				select {
				case <-turn:
					seen++
				default:
					p.Wait(-1)
				}
			}
			done <- nil
		}()
		returns(t, "a wake-up was lost", done)
	})
}

func TestPollerOfClosedQueue(t *testing.T) {
	ns := newNetns(t)
	d := ns.open(t, tunnel.Config{})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	before := openFiles(t)
	if _, err := tunnel.NewPoller(d.Queue(0)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("NewPoller: %v, want os.ErrClosed", err)
	}
	before.compare(t)
}

func TestPollerOfMixture(t *testing.T) {
	ns := newNetns(t)
	kernel, fake := ns.open(t, tunnel.Config{}), tunneltest.New(t)
	if _, err := tunnel.NewPoller(kernel.Queue(0), fake.Queue(0)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("NewPoller: %v, want errors.ErrUnsupported", err)
	}
}
