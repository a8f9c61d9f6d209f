package inline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// locked calls f while no other process changes what records are about.
func locked(f func() error) error {
	if err := makeState(); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(stateDir, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return f()
}

// Sweep undoes in a namespace what processes that are dead have left behind there.
func Sweep(ns *netns.NS) error {
	id, err := ns.ID()
	if err != nil {
		return err
	}
	return locked(func() error { return sweep(ns, id) })
}

func sweep(ns *netns.NS, id uint64) error {
	var (
		errs   []error
		living []*record
	)
	all := records()
	for _, r := range all {
		if r.NetNS == id && alive(r) {
			living = append(living, r)
		}
	}
	for file, r := range all {
		if r.NetNS != id || alive(r) {
			continue
		}
		if !r.about(ns) {
			errs = append(errs, forget(file))
			continue
		}
		if err := r.restore(ns, living); err != nil {
			errs = append(errs, fmt.Errorf("clear up after process %d: %w", r.PID, err))
			continue
		}
		errs = append(errs, forget(file))
	}
	return errors.Join(append(errs, sweepScraps(all))...)
}

// about tells whether a record is of this very namespace, and not of one that has gone and left
// it the number.
func (r *record) about(ns *netns.NS) bool {
	cookie := ns.Cookie()
	return cookie == 0 || r.Cookie == 0 || r.Cookie == cookie
}

// sweepScraps removes records that were never finished. The caller has the lock, so nobody
// is about to finish one.
func sweepScraps(whole map[string]*record) error {
	var errs []error
	files, _ := filepath.Glob(filepath.Join(stateDir, "setup-*"))
	for _, file := range files {
		if whole[file] == nil {
			errs = append(errs, forget(file))
		}
	}
	return errors.Join(errs...)
}

// SweepAll is Sweep for all namespaces that can be found: of processes, those that they
// have open, and those with a name. Records of namespaces that are gone are removed. It
// returns after how many dead processes it has cleared up.
func SweepAll() (n int, err error) {
	if err := locked(func() error { return sweepScraps(records()) }); err != nil {
		return 0, err
	}
	before := Leftovers()
	if before == 0 {
		return 0, nil
	}
	const passes = 3 // processes, by which namespaces are found, come and go
	for range passes {
		if err = sweepFound(namespaces()); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return before - Leftovers(), err
}

// sweepFound undoes what is recorded in namespaces that were found, and forgets the rest.
func sweepFound(found map[uint64]string) error {
	var errs []error
	for file, r := range records() {
		path, ok := found[r.NetNS]
		switch {
		case alive(r):
		case !ok:
			errs = append(errs, forget(file))
		default:
			errs = append(errs, sweepAt(path))
		}
	}
	return errors.Join(errs...)
}

// forget removes a record, if nobody else has.
func forget(file string) error {
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func sweepAt(path string) error {
	ns, err := netns.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	return Sweep(ns)
}

// namespaces are the network namespaces of this machine by their numbers, each with a
// file that stands for it.
func namespaces() map[uint64]string {
	all := make(map[uint64]string)
	var ours syscall.Stat_t
	if syscall.Stat("/proc/self/ns/net", &ours) != nil {
		return all
	}
	add := func(file string) {
		var s syscall.Stat_t
		if syscall.Stat(file, &s) == nil && s.Dev == ours.Dev {
			all[s.Ino] = file // also those of other kinds, whose numbers are others
		}
	}
	for _, pattern := range []string{"/proc/[0-9]*/fd/*", "/proc/[0-9]*/ns/net"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			add(file)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		const root, mountPoint = 3, 4 // proc_pid_mountinfo(5)
		if words := strings.Fields(line); len(words) > mountPoint && strings.HasPrefix(words[root], "net:[") {
			add(words[mountPoint])
		}
	}
	return all
}

// Leftovers counts the records of dead processes, in any namespace.
func Leftovers() (n int) {
	for _, r := range records() {
		if !alive(r) {
			n++
		}
	}
	return n
}

// records are those that can be read, by file.
func records() map[string]*record {
	all := make(map[string]*record)
	files, _ := filepath.Glob(filepath.Join(stateDir, "setup-*.json"))
	for _, file := range files {
		text, err := readState(file)
		r := new(record)
		if err == nil && json.Unmarshal(text, r) == nil {
			all[file] = r
		}
	}
	return all
}

// others are the records of other ways in that stand in the same namespace.
func (s *setup) others() (all []*record) {
	for file, r := range records() {
		if r.NetNS == s.NetNS && file != s.file && alive(r) {
			all = append(all, r)
		}
	}
	return all
}

// otherWith is the record of another way in that has changed a key; nil if there is none.
func (s *setup) otherWith(key string) *record {
	for _, r := range s.others() {
		if _, ok := r.before(key); ok {
			return r
		}
	}
	return nil
}

// alive tells whether the process that made a record still runs, and not another one
// with its number. Where /proc does not show it, as with hidepid=2, there is no telling which.
func alive(r *record) bool {
	if r.Started == "" || r.PID <= 0 {
		return false
	}
	start := startOf(r.PID)
	return start == r.Started || start == "" && syscall.Kill(r.PID, 0) != syscall.ESRCH
}

// startOf is when a process was started, in the kernel's ticks; "" if it is not seen.
func startOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	rest := text[bytes.LastIndexByte(text, ')')+1:] // the name before it may hold anything
	const startTime = 22 - 3
	if fields := strings.Fields(string(rest)); len(fields) > startTime {
		return fields[startTime]
	}
	return ""
}
