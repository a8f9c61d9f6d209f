package control

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/rules"
)

const (
	maxLeases  = 1000
	defaultTTL = 30 * time.Second
	maxTTL     = 24 * time.Hour
)

// leases are rules that are in force as long as somebody renews them: those of a
// test that has crashed end by themselves. Each is a layer of the book.
type leases struct {
	book *Book
	read func(...rules.Text) (*rules.Set, error) // as Config.Read
	log  *zap.Logger

	mu    sync.Mutex
	byID  map[string]*lease
	given int // ids
	ended bool
}

// A lease belongs to its leases, whose lock guards it.
type lease struct {
	id      string
	ttl     time.Duration
	ends    time.Time
	timer   *time.Timer
	rules   []string
	renewed uint64
}

func newLeases(book *Book, read func(...rules.Text) (*rules.Set, error), log *zap.Logger) *leases {
	return &leases{book: book, read: read, log: log, byID: make(map[string]*lease)}
}

// stop stops the clocks of all leases.
func (ls *leases) stop() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.ended = true
	for _, l := range ls.byID {
		l.timer.Stop()
	}
}

// isLeaseID tells whether an id can be part of a rule's name.
var isLeaseID = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`).MatchString

// put makes a lease, or changes the one of that id; an empty one is made up.
func (ls *leases) put(id string, r client.LeaseRequest) (out client.Lease, isNew bool, err error) {
	ttl, err := readTTL(r.TTL)
	if err != nil {
		return out, false, err
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if id == "" {
		id = ls.freeID()
	}
	l := ls.byID[id]
	isNew = l == nil
	switch {
	case isNew && !isLeaseID(id):
		return out, false, refuse(http.StatusBadRequest, "%q is no id; it may have 64 letters, digits, _ . and -", id)
	case isNew && ls.book.has(id):
		return out, false, refuse(http.StatusConflict, "%q is the name of other rules than a lease's", id)
	case isNew && len(ls.byID) >= maxLeases:
		return out, false, refuse(http.StatusTooManyRequests, "there are %d leases already", maxLeases)
	case isNew:
		l = &lease{id: id, ttl: cmp.Or(ttl, defaultTTL)}
	}
	if err := ls.install(l, r.Rules); err != nil {
		return out, false, err
	}
	l.ttl = cmp.Or(ttl, l.ttl)
	ls.byID[id] = l
	ls.begin(l)
	return l.describe(), isNew, nil
}

// freeID makes up an id.
func (ls *leases) freeID() string {
	for {
		ls.given++
		if id := fmt.Sprintf("lease-%d", ls.given); ls.byID[id] == nil && !ls.book.has(id) {
			return id
		}
	}
}

// install puts the text of a lease's rules in force; an empty one changes nothing.
func (ls *leases) install(l *lease, text string) error {
	if text == "" {
		return nil
	}
	set, err := ls.read(rules.Text{File: l.id, Text: text})
	if err != nil {
		return &badFiles{err}
	}
	if err := ls.book.Put(l.id, set); err != nil {
		return err
	}
	l.rules = nil
	for _, r := range calledAfter(l.id, set).Rules {
		l.rules = append(l.rules, r.Name)
	}
	return nil
}

// begin begins the time of a lease anew.
func (ls *leases) begin(l *lease) {
	l.ends = time.Now().Add(l.ttl)
	if l.timer == nil {
		l.timer = time.AfterFunc(l.ttl, func() { ls.lapse(l) })
	} else {
		l.timer.Reset(l.ttl)
		l.renewed++
	}
	if ls.ended {
		l.timer.Stop() // the last call came while the server was being closed
	}
}

// lapse ends a lease whose time is over, unless it was renewed just then.
func (ls *leases) lapse(l *lease) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.byID[l.id] != l || time.Now().Before(l.ends) {
		return
	}
	err := ls.drop(l)
	ls.log.Warn("a lease has lapsed", zap.String("lease", l.id), zap.Strings("rules", l.rules), zap.Error(err))
}

// drop takes a lease and its rules away.
func (ls *leases) drop(l *lease) error {
	l.timer.Stop()
	delete(ls.byID, l.id)
	return ls.book.Remove(l.id)
}

// with calls f with a lease.
func (ls *leases) with(id string, f func(*lease) error) error {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byID[id]
	if l == nil {
		return refuse(http.StatusNotFound, "there is no lease %q, or it has lapsed", id)
	}
	return f(l)
}

func (l *lease) describe() client.Lease {
	return client.Lease{
		ID: l.id, TTL: client.Duration(l.ttl), Left: client.Duration(max(0, time.Until(l.ends))),
		Rules: orEmpty(l.rules), Renewed: l.renewed,
	}
}

func readTTL(d client.Duration) (time.Duration, error) {
	if ttl := time.Duration(d); ttl >= 0 && ttl <= maxTTL {
		return ttl, nil
	}
	return 0, refuse(http.StatusBadRequest, "ttl: %v is not between 0s and %v", d, maxTTL)
}

// list is all of them, by their ids.
func (ls *leases) list() client.Leases {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	out := client.Leases{Leases: []client.Lease{}}
	for _, id := range slices.Sorted(maps.Keys(ls.byID)) {
		out.Leases = append(out.Leases, ls.byID[id].describe())
	}
	return out
}

// Answers are written once the lock is let go: who does not read one holds up no other lease.

func (s *Server) listLeases(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, s.leases.list())
}

func (s *Server) newLease(w http.ResponseWriter, r *http.Request) error { return s.putLease(w, r, "") }

func (s *Server) setLease(w http.ResponseWriter, r *http.Request) error {
	return s.putLease(w, r, r.PathValue("lease"))
}

func (s *Server) putLease(w http.ResponseWriter, r *http.Request, id string) error {
	var request client.LeaseRequest
	if err := readJSON(w, r, &request); err != nil {
		return err
	}
	l, isNew, err := s.leases.put(id, request)
	switch {
	case err != nil:
		return err
	case isNew:
		return answer(w, http.StatusCreated, l)
	}
	return answer(w, http.StatusOK, l)
}

func (s *Server) showLease(w http.ResponseWriter, r *http.Request) error {
	return s.answerLease(w, r, func(*lease) {})
}

func (s *Server) renewLease(w http.ResponseWriter, r *http.Request) error {
	return s.answerLease(w, r, s.leases.begin)
}

// answerLease answers with the lease that a path names, once something is done to it.
func (s *Server) answerLease(w http.ResponseWriter, r *http.Request, do func(*lease)) error {
	var out client.Lease
	if err := s.leases.with(r.PathValue("lease"), func(l *lease) error {
		do(l)
		out = l.describe()
		return nil
	}); err != nil {
		return err
	}
	return answer(w, http.StatusOK, out)
}

func (s *Server) endLease(w http.ResponseWriter, r *http.Request) error {
	if err := s.leases.with(r.PathValue("lease"), s.leases.drop); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// count is how many have not ended.
func (ls *leases) count() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return len(ls.byID)
}
