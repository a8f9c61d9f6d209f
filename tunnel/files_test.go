package tunnel_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// files are the open descriptors of this process, by number, with what they are of.
type files map[int]string

// openFiles lists them, without the one it needs for that, and without the epoll
// set and eventfd of the Go runtime, which come with its first use.
func openFiles(t *testing.T) files {
	t.Helper()
	primeRuntimePoller(t)
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	open := files{}
	for _, entry := range dir {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			open[fd] = target
		}
	}
	return open
}

func primeRuntimePoller(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
}

// compare fails the test if files are open now that were not. What an earlier test
// left to the collector may be gone since.
func (before files) compare(t *testing.T) {
	t.Helper()
	if left := openFiles(t).since(before); len(left) > 0 {
		t.Errorf("files left open: %v", left.sorted())
	}
}

// since are the files opened after before.
func (now files) since(before files) files {
	opened := maps.Clone(now)
	maps.DeleteFunc(opened, func(fd int, target string) bool { return before[fd] == target })
	return opened
}

func (f files) sorted() (list []string) {
	for _, fd := range slices.Sorted(maps.Keys(f)) {
		list = append(list, fmt.Sprintf("%d: %s", fd, f[fd]))
	}
	return list
}

// checkInherited fails the test for each of the files that a child would inherit.
func (f files) checkInherited(t *testing.T) {
	t.Helper()
	for fd, target := range f {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil {
			t.Errorf("descriptor %d (%s): %v", fd, target, err)
		} else if flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d (%s) would be inherited", fd, target)
		}
	}
}
