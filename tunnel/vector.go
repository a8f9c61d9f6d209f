package tunnel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A vector is the arguments of readv and writev: up to three stretches of bytes.
// It stays in its queue, since on the stack it would escape.
//
// The calls go past the scheduler, which is right for a descriptor that does not
// block: it would else take the processor away from a worker in every write of some 20 µs,
// and keep the runtime's monitor awake for that (a tenth of a processor, measured
// November 2026). A collection that wants the world to stop waits for one write at most.
type vector struct {
	stretches [3]unix.Iovec
	n         int
}

// set makes the vector that of bufs, which it keeps; those at the end may be empty.
func (v *vector) set(bufs ...[]byte) {
	v.n = 0
	for _, b := range bufs {
		if len(b) == 0 {
			continue
		}
		v.stretches[v.n].Base = unsafe.SliceData(b)
		v.stretches[v.n].SetLen(len(b))
		v.n++
	}
}

func (v *vector) read(fd int) (int, unix.Errno) { return v.call(unix.SYS_READV, fd) }

func (v *vector) write(fd int) (int, unix.Errno) { return v.call(unix.SYS_WRITEV, fd) }

func (v *vector) call(number uintptr, fd int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(&v.stretches)), uintptr(v.n))
	return int(n), errno
}
