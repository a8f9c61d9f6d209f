package tunnel

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// bell is an eventfd. Anybody may ring it, also when it is closed; one goroutine
// clears and closes it.
type bell struct {
	rung atomic.Bool // readable, or about to be: another ring adds nothing

	mu    sync.Mutex // keeps fd open while somebody rings
	fd    int
	one   [8]byte // the number that is written
	count [8]byte // the number that was read
}

func (b *bell) open() (err error) {
	binary.NativeEndian.PutUint64(b.one[:], 1)
	b.fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return err
}

func (b *bell) ring() {
	if b.rung.Swap(true) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fd >= 0 {
		_, _ = unix.Write(b.fd, b.one[:]) // fails only if the count would overflow
	}
}

// clear takes the ring. Whoever rings between its two lines leaves it at that,
// and rightly so: the Wait that clears returns, and its caller looks around.
func (b *bell) clear() {
	_, _ = unix.Read(b.fd, b.count[:])
	b.rung.Swap(false) // not Store: what the ringer did before is visible after
}

func (b *bell) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return closeFD(&b.fd)
}
