package tunnel_test

import (
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"unsafe"

	"github.com/tcpmangle/tcpmangle/tunnel"
	"golang.org/x/sys/unix"
)

// On a kernel that knows no offloads, Auto makes a plain device, and On says no.
// A seccomp filter on the namespace's thread plays that kernel.
func TestKernelWithoutOffload(t *testing.T) {
	tests := []struct {
		mode    tunnel.OffloadMode
		queues  int
		refused bool
	}{
		{tunnel.Auto, 1, false},
		{tunnel.Auto, 2, false},
		{tunnel.On, 1, true},
		{tunnel.Off, 1, false},
	}
	for _, test := range tests {
		ns := newNetns(t)
		ns.must(t, func() error { return refuseIoctl(unix.TUNSETOFFLOAD) })
		before := openFiles(t)
		d, err := ns.tryOpen(tunnel.Config{Offload: test.mode, Queues: test.queues})
		if test.refused {
			if !errors.Is(err, unix.EINVAL) {
				t.Errorf("%v: %v, want EINVAL", test.mode, err)
			}
			before.compare(t)
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", test.mode, err)
			continue
		}
		if d.Offload() || d.Name() != "mgl0" || d.Queues() != test.queues {
			t.Errorf("%v: offload %t, %s with %d queues", test.mode, d.Offload(), d.Name(), d.Queues())
		}
		checkFlags(t, d)
		d.Close()
		before.compare(t)
	}
}

// refuseIoctl makes this thread's ioctl of that request fail with EINVAL from now on.
func refuseIoctl(request uint32) error {
	const number, requestArg = 0, 24 // offsets in struct seccomp_data
	low := uint32(requestArg)
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		low += 4 // big-endian: the lower half is the second
	}
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	skipUnless := func(k uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: skip}
	}
	answer := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
	}
	program := []unix.SockFilter{
		load(number),
		skipUnless(unix.SYS_IOCTL, 3),
		load(low),
		skipUnless(request, 1),
		answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EINVAL)),
		answer(unix.SECCOMP_RET_ALLOW),
	}
	var pinned runtime.Pinner
	pinned.Pin(&program[0])
	defer pinned.Unpin()
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0)
}
