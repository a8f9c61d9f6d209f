package tunnel_test

import (
	"errors"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
	"golang.org/x/sys/unix"
)

// A steering program speaks of queues in the order of Device.Queue.
func TestSetSteering(t *testing.T) {
	eachMode(t, func(t *testing.T, mode tunnel.OffloadMode) {
		ns := newNetns(t)
		ns.silence(t)
		d := ns.open(t, tunnel.Config{Queues: 3, Offload: mode})
		if err := tunnel.Up(d); err != nil {
			t.Fatal(err)
		}
		tap := openTap(t, ns, d.Name())
		for _, queue := range []int{0, 1, 2, 4} {
			prog := loadConstant(t, queue)
			if err := tunnel.SetSteering(d, prog); err != nil {
				t.Fatal(err)
			}
			unix.Close(prog) // the device keeps it
			tap.send(t, tunnel.Header{}, tcpIPv4(queue))
			if got, want := readable(t, d), queue%3; got != want {
				t.Errorf("a program that returns %d steers to queue %d, want %d", queue, got, want)
			}
		}
		if err := tunnel.SetSteering(d, -1); err != nil {
			t.Errorf("taking the program away: %v", err)
		}
	})
}

func TestSetSteeringRefused(t *testing.T) {
	ns := newNetns(t)
	d := ns.open(t, tunnel.Config{Queues: 2})
	if err := tunnel.SetSteering(d, 1<<20); !errors.Is(err, unix.EBADF) {
		t.Errorf("SetSteering with a bad descriptor: %v, want EBADF", err)
	}
	if err := tunnel.SetSteering(tunneltest.New(t), -1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SetSteering of a fake: %v, want errors.ErrUnsupported", err)
	}
}

// readable takes one packet and tells the queue it was in.
func readable(t *testing.T, d tunnel.Device) int {
	t.Helper()
	b := make([]byte, tunnel.MaxPacket)
	for end := time.Now().Add(receiveTimeout); time.Now().Before(end); {
		for i := range d.Queues() {
			if _, _, err := d.Queue(i).Read(b); err == nil {
				return i
			} else if err != tunnel.ErrEmpty {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("no packet arrived")
	return -1
}

// loadConstant loads a socket filter that returns n.
func loadConstant(t *testing.T, n int) int {
	t.Helper()
	type instruction struct {
		code      uint8
		registers uint8
		offset    int16
		immediate int32
	}
	program := []instruction{
		{code: unix.BPF_ALU64 | unix.BPF_MOV, immediate: int32(n)}, // r0 = n
		{code: unix.BPF_JMP | unix.BPF_EXIT},
	}
	license := []byte("GPL\x00")
	attr := struct {
		kind, count uint32
		program     uint64
		license     uint64
		_           [104]byte // the rest of the union bpf_attr
	}{
		kind:    unix.BPF_PROG_TYPE_SOCKET_FILTER,
		count:   uint32(len(program)),
		program: uint64(uintptr(unsafe.Pointer(&program[0]))),
		license: uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	var pinned runtime.Pinner
	pinned.Pin(&program[0])
	pinned.Pin(&license[0])
	defer pinned.Unpin()
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno == unix.EPERM || errno == unix.ENOSYS {
		t.Skipf("needs to load a BPF program: %v", errno)
	}
	if errno != 0 {
		t.Fatalf("load program: %v", errno)
	}
	return int(fd)
}
