package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

// timers measures how late delayed segments leave while many wait: as many as
// Config says, spread evenly, so that each is due at a time of its own.
func (r *run) timers(ctx context.Context) error {
	s, err := r.stage(offloadStage)
	if err != nil {
		return err
	}
	l := newLateness(r.cfg.HeldFor, r.cfg.Held)
	e, err := newEngine(s, engine.Config{Rules: delayRule(r.cfg.HeldFor), OnEvent: l.hear})
	if err != nil {
		return err
	}
	l.since = e.Since
	b := startBox(e)
	err = s.flood(ctx, r.cfg.Held, r.cfg.HeldFor)
	if err = errors.Join(err, b.close()); err != nil {
		return err
	}
	if l.late.count == 0 && ctx.Err() == nil {
		return errNothingCame
	}
	held := heldSubject(r.cfg.Held)
	r.add(held, Lateness, micros(l.late.quantile(0.5)))
	r.add(held, Lateness99, micros(l.late.quantile(0.99)))
	return nil
}

func heldSubject(n int) string { return grouped(float64(n)) + " delayed segments" }

func delayRule(by time.Duration) *rules.Set {
	return rules.MustParse(fmt.Sprintf("[[rule]]\nmatch = { segment = 'data' }\naction = { delay = '%v' }\n", by))
}

// A lateness hears of segments that are delayed and that leave. All have the
// same delay, so they leave in the order in which they came.
type lateness struct {
	delay  time.Duration
	since  func() time.Duration // the engine's clock
	due    []time.Duration      // of those that wait, oldest first
	filled int                  // as many have to wait before it counts
	full   bool
	late   histogram
}

// newLateness counts once nine tenths of held segments wait.
func newLateness(delay time.Duration, held int) *lateness {
	return &lateness{delay: delay, filled: held * 9 / 10}
}

// hear looks at the clock when the segment has been written.
func (l *lateness) hear(e *engine.Event) {
	switch {
	case e.Type == engine.EventSegment && e.Verdict == engine.Delay:
		l.due = append(l.due, e.Time+l.delay)
		l.full = l.full || len(l.due) >= l.filled
	case e.Type == engine.EventDeliver && len(l.due) > 0:
		if l.full {
			l.late.record(l.since() - l.due[0])
		}
		l.due = l.due[1:]
	}
}

// floodConns is how many connections the segments are spread over.
const floodConns = 100

// flood sends data segments of forged connections from the client's host, at an even
// pace such that held of them are under way, until that has gone on for delay
// and once more.
func (s *stage) flood(ctx context.Context, held int, delay time.Duration) error {
	fd := -1
	err := s.hosts[0].Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	if err != nil {
		return fmt.Errorf("raw socket: %w", err)
	}
	defer unix.Close(fd)
	packets := make([][]byte, floodConns)
	for i := range packets {
		packets[i] = dataPacket(i, pingLen)
	}
	to := &unix.SockaddrInet4{Addr: elsewhere.As4()}
	gap := delay / time.Duration(held)
	start := time.Now()
	for n := 0; n < 2*held && ctx.Err() == nil; n++ {
		time.Sleep(time.Until(start.Add(time.Duration(n) * gap)))
		packet := packets[n%floodConns]
		setSeq(packet, isn+1+uint32(n/floodConns*pingLen))
		if err := unix.Sendto(fd, packet, 0, to); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	return nil
}
