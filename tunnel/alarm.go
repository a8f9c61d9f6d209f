package tunnel

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// slack is how far an alarm may be off before it is set again. The same due time
// comes out a little different each time it is counted from another now, and
// setting costs a system call, about a third of this.
const slack = time.Microsecond

// alarm is a timerfd. It is late by some 30 µs, where Go timers and epoll's own
// timeout are late by up to a millisecond (measured November 2026). One goroutine
// uses it.
type alarm struct {
	fd  int
	due time.Time // what it is set to; zero is nothing

	// What the kernel reads and writes; on the stack they would escape.
	spec  unix.ItimerSpec
	times [8]byte
}

func (a *alarm) open() (err error) {
	a.fd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	return err
}

// set makes the descriptor readable at due, which is left from now, unless it is
// set to that time already.
func (a *alarm) set(due time.Time, left time.Duration) error {
	if !a.due.IsZero() && a.due.Sub(due).Abs() <= slack {
		return nil
	}
	a.spec.Value = unix.NsecToTimespec(int64(left))
	if err := unix.TimerfdSettime(a.fd, 0, &a.spec, nil); err != nil {
		return fmt.Errorf("set timer: %w", err)
	}
	a.due = due
	return nil
}

// clear takes the alarm that has rung.
func (a *alarm) clear() {
	_, _ = unix.Read(a.fd, a.times[:])
	a.due = time.Time{}
}

func (a *alarm) close() error { return closeFD(&a.fd) }
