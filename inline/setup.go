package inline

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// A setup is what was changed in a namespace besides our own devices, with the way
// back. It stands in a file before it is done, so that a later start can clear up
// after a process that was killed.
type setup struct {
	ns    *netns.NS
	file  string
	nat   *netns.Table // nil until somebody needs it; it goes with the process by itself
	hooks []netns.Hook // where firewalls have been asked to let our devices pass
	record
}

// A record is a setup as its file has it.
type record struct {
	PID     int          `json:"pid"` // of the process that has set it up
	Started string       `json:"started"`
	Way     string       `json:"way,omitempty"` // what it is for
	NetNS   uint64       `json:"netns"`
	Cookie  uint64       `json:"cookie,omitempty"`  // of the namespace
	Sysctls []assignment `json:"sysctls,omitempty"` // as they were before
	Added   []netns.Rule `json:"added,omitempty"`
	Deleted []netns.Rule `json:"deleted,omitempty"`
	Mark    string       `json:"mark,omitempty"` // of our rules in firewalls
}

// An assignment is a sysctl and a value.
type assignment struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func newSetup(ns *netns.NS) *setup { return &setup{ns: ns} }

// begin sweeps what others have left behind in the namespace, and opens the record of a way in.
func (s *setup) begin(way string) (err error) {
	if s.NetNS, err = s.ns.ID(); err != nil {
		return err
	}
	if err := Sweep(s.ns); err != nil {
		return err
	}
	s.PID, s.Started, s.Cookie, s.Way = os.Getpid(), startOf(os.Getpid()), s.ns.Cookie(), way
	return locked(func() error {
		f, err := os.CreateTemp(stateDir, "setup-*.json")
		if err != nil {
			return err
		}
		s.file = f.Name()
		f.Close()
		return s.save()
	})
}

// save writes the record. The caller has the lock.
func (s *setup) save() error {
	text, err := json.Marshal(s.record)
	if err != nil {
		return err
	}
	return writeState(s.file, text)
}

// sysctl changes a key of the namespace that is not our own device's. One that has
// the value already is left alone, unless another way in has given it that: then the
// last one of them to end puts back what was before.
func (s *setup) sysctl(key, value string) error {
	return locked(func() error { return s.lockedSysctl(key, value) })
}

// lockedSysctl is sysctl of a caller who has the lock.
func (s *setup) lockedSysctl(key, value string) error {
	was, err := s.ns.SysctlGet(key)
	if err != nil {
		return err
	}
	before := was
	if r := s.otherWith(key); r != nil {
		before, _ = r.before(key)
	}
	if before == value {
		return nil
	}
	s.Sysctls = append(s.Sysctls, assignment{key, before})
	if err := s.save(); err != nil || was == value {
		return err
	}
	return s.ns.Sysctl(key, value)
}

// before is the value that a key had before the process of the record came.
func (r *record) before(key string) (value string, ok bool) {
	i := slices.IndexFunc(r.Sysctls, func(a assignment) bool { return a.Key == key })
	if i < 0 {
		return "", false
	}
	return r.Sysctls[i].Value, true
}

// table is our table of nftables in the namespace.
func (s *setup) table() (*netns.Table, error) {
	if s.nat == nil {
		nat, err := s.ns.OpenTable()
		if err != nil {
			return nil, err
		}
		s.nat = nat
	}
	return s.nat, nil
}

// ownSysctl sets a key of one of our devices, given as "rp_filter=0"; it goes with it. One
// that has the value already is not written: in a container it could not be.
func (s *setup) ownSysctl(dev, text string) error {
	name, value, _ := strings.Cut(text, "=")
	key := "net/ipv4/conf/" + dev + "/" + name
	if is, err := s.ns.SysctlGet(key); err != nil || is == value {
		return err
	}
	return s.ns.Sysctl(key, value)
}

// addRule adds a rule of policy routing. One that is there already was left behind by one that was
// killed, and whose record is gone with its container.
func (s *setup) addRule(r netns.Rule) error {
	s.Added = append(s.Added, r)
	if err := locked(s.save); err != nil {
		return err
	}
	if err := s.ns.AddRule(r); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// moveRule moves one behind those that have its priority.
func (s *setup) moveRule(r netns.Rule) error {
	s.Deleted = append(s.Deleted, r)
	if err := locked(s.save); err != nil {
		return err
	}
	return errors.Join(ifThere(s.ns.DelRule(r)), s.ns.AddRule(r))
}

// ifThere is nil if what was to be deleted was not there.
func ifThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// undo puts everything back, in reverse: the table last, which keeps others' packets from being
// forwarded. It goes on after a mistake, and keeps the record then.
func (s *setup) undo() error {
	if s.file == "" {
		return nil
	}
	err := locked(func() error {
		if err := s.restore(s.ns, s.others()); err != nil {
			return err
		}
		err := forget(s.file)
		s.file = ""
		return err
	})
	if s.nat != nil {
		err = errors.Join(err, s.nat.Close())
		s.nat = nil
	}
	return err
}

// restore undoes what a record says. What others need still is theirs to undo.
func (r *record) restore(ns *netns.NS, others []*record) error {
	var errs []error
	for _, rule := range slices.Backward(r.Deleted) {
		if err := ns.AddRule(rule); err != nil && !errors.Is(err, fs.ErrExist) {
			errs = append(errs, err)
		}
	}
	for _, rule := range slices.Backward(r.Added) {
		errs = append(errs, ifThere(ns.DelRule(rule)))
	}
	if r.Mark != "" {
		errs = append(errs, ns.Dismiss(r.Mark))
	}
	needed := func(a assignment) bool {
		return slices.ContainsFunc(others, func(o *record) bool {
			_, ok := o.before(a.Key)
			return ok
		})
	}
	for _, a := range slices.Backward(r.Sysctls) {
		if needed(a) {
			continue
		}
		if err := ns.Sysctl(a.Key, a.Value); !errors.Is(err, netns.ErrUnknownSysctl) { // its device may be gone
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
