package inline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// A setup is what was changed in a namespace besides our own devices, with the way
// back. It stands in a file before it is done, so that a later start can clear up
// after a process that was killed.
type setup struct {
	ns   *netns.NS
	file string
	record
}

// A record is a setup as its file has it.
type record struct {
	PID     int          `json:"pid"` // of the process that has set it up
	Started string       `json:"started"`
	NetNS   uint64       `json:"netns"`
	Sysctls []assignment `json:"sysctls,omitempty"` // as they were before
	Added   []netns.Rule `json:"added,omitempty"`
	Deleted []netns.Rule `json:"deleted,omitempty"`
}

// An assignment is a sysctl and a value.
type assignment struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// stateDir is where records lie, for as long as the machine runs.
var stateDir = "/run/tcpmangle"

func newSetup(ns *netns.NS) *setup { return &setup{ns: ns} }

// begin sweeps what others have left behind in the namespace, and opens the record.
func (s *setup) begin() (err error) {
	if s.NetNS, err = s.ns.ID(); err != nil {
		return err
	}
	if err := Sweep(s.ns); err != nil {
		return err
	}
	s.PID, s.Started = os.Getpid(), startOf(os.Getpid())
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(stateDir, "setup-*.json")
	if err != nil {
		return err
	}
	s.file = f.Name()
	f.Close()
	return s.save()
}

// save writes the record in one step: a reader sees the old one or the new one.
func (s *setup) save() error {
	text, err := json.Marshal(s.record)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.file+"~", text, 0o600); err != nil {
		return err
	}
	return os.Rename(s.file+"~", s.file)
}

// sysctl changes a key of the namespace that is not our own device's. One that has
// the value already is left alone.
func (s *setup) sysctl(a assignment) error {
	was, err := s.ns.SysctlGet(a.Key)
	if err != nil || was == a.Value {
		return err
	}
	s.Sysctls = append(s.Sysctls, assignment{a.Key, was})
	if err := s.save(); err != nil {
		return err
	}
	return s.ns.Sysctl(a.Key, a.Value)
}

// ownSysctl sets a key of one of our devices, given as "rp_filter=0"; it goes with it.
func (s *setup) ownSysctl(dev, text string) error {
	key, value, _ := strings.Cut(text, "=")
	return s.ns.Sysctl("net.ipv4.conf."+dev+"."+key, value)
}

func (s *setup) addRule(r netns.Rule) error {
	s.Added = append(s.Added, r)
	if err := s.save(); err != nil {
		return err
	}
	return s.ns.AddRule(r)
}

func (s *setup) delRule(r netns.Rule) error {
	s.Deleted = append(s.Deleted, r)
	if err := s.save(); err != nil {
		return err
	}
	return s.ns.DelRule(r)
}

// undo puts everything back, in reverse. It goes on after a mistake, and keeps the
// record then.
func (s *setup) undo() error {
	err := s.restore(s.ns)
	if err == nil && s.file != "" {
		err = os.Remove(s.file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (r *record) restore(ns *netns.NS) error {
	var errs []error
	for _, rule := range slices.Backward(r.Deleted) {
		if err := ns.AddRule(rule); err != nil && !errors.Is(err, fs.ErrExist) {
			errs = append(errs, err)
		}
	}
	for _, rule := range slices.Backward(r.Added) {
		errs = append(errs, ns.DelRule(rule))
	}
	for _, a := range slices.Backward(r.Sysctls) {
		errs = append(errs, ns.Sysctl(a.Key, a.Value))
	}
	return errors.Join(errs...)
}

// Sweep undoes in a namespace what processes that are dead have left behind there.
func Sweep(ns *netns.NS) error {
	id, err := ns.ID()
	if err != nil {
		return err
	}
	var errs []error
	for file, r := range records() {
		if r.NetNS != id || alive(r) {
			continue
		}
		if err := r.restore(ns); err != nil {
			errs = append(errs, fmt.Errorf("clear up after process %d: %w", r.PID, err))
			continue
		}
		errs = append(errs, os.Remove(file))
	}
	return errors.Join(errs...)
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
		text, err := os.ReadFile(file)
		r := new(record)
		if err == nil && json.Unmarshal(text, r) == nil {
			all[file] = r
		}
	}
	return all
}

// alive tells whether the process that made a record still runs, and not another one
// with its number.
func alive(r *record) bool { return startOf(r.PID) == r.Started && r.Started != "" }

// startOf is when a process was started, in the kernel's ticks; "" if there is none.
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
