package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"go.uber.org/zap"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/web"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A Config sets up a Server.
type Config struct {
	Engine *engine.Engine
	// Book holds the rules in force; nil: one is made, without files.
	Book *Book
	// Load reads the files again, for reload; nil: there are none.
	Load func() (*rules.Set, error)
	// Read reads rules that a call brings, for a lease too, and refuses what this instance cannot do; nil: rules.ParseAll.
	Read func(...rules.Text) (*rules.Set, error)
	// OnReload is told that other files are in force, by whomever; nil if nobody wants to know.
	OnReload func()
	// Version is what the instance says of itself.
	Version string
	// Token is wanted of every call over TCP, if it is set. Off loopback it has to be.
	Token string
	// Hosts are names, besides localhost, by which TCP clients may call this machine.
	Hosts []string
	Log   *zap.Logger // nil means none
}

// A Server answers calls to an instance. Its methods may be called from any goroutine.
type Server struct {
	cfg    Config
	log    *zap.Logger
	book   *Book
	hub    *hub
	leases *leases
	mux    *http.ServeMux

	ctx  context.Context // of all calls
	stop context.CancelCauseFunc

	reloading sync.Mutex // one at a time: what was read later is not overwritten by what was read before

	mu      sync.Mutex
	closed  bool
	servers []*web.Server
}

// New makes a Server; Serve answers.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Read == nil {
		cfg.Read = rules.ParseAll
	}
	if cfg.OnReload == nil {
		cfg.OnReload = func() {}
	}
	if cfg.Book == nil {
		cfg.Book = NewBook(cfg.Engine, nil)
	}
	s := &Server{cfg: cfg, log: cfg.Log, book: cfg.Book, hub: &hub{eng: cfg.Engine}}
	s.leases = newLeases(s.book, cfg.Read, s.log)
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.mux = s.newMux()
	return s
}

// Serve answers the calls that come in at a listener, which it closes in the end: when Close is
// called, with nil, or when the listener fails, with the cause. Several
// listeners may be served side by side.
func (s *Server) Serve(l net.Listener) error {
	handler, err := s.guard(l.Addr())
	if err != nil {
		l.Close()
		return err
	}
	server := web.New(s.ctx, handler, s.log)
	if !s.keep(server) {
		l.Close()
		return nil
	}
	s.log.Info("listening", zap.Stringer("api", l.Addr()))
	return server.Serve(l)
}

// keep notes a server for Close; false if that has been called.
func (s *Server) keep(server *web.Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.servers = append(s.servers, server)
	}
	return !s.closed
}

// errEnded is the answer to who waits for something to happen in an instance that ends.
var errEnded = refuse(http.StatusServiceUnavailable, "the instance has ended")

// during is the context of a call that may take long. It also ends with the Server and with
// the Engine, and then its cause is errEnded.
func (s *Server) during(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(r.Context())
	go func() {
		select {
		case <-s.ctx.Done():
			cancel(errEnded)
		case <-s.cfg.Engine.Stopped():
			cancel(errEnded)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Close stops listening, ends event streams and waits, lets other calls finish, for a second at most, and
// stops the clocks of leases; their rules stay. The Engine goes on.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	servers := s.servers
	s.servers = nil
	s.mu.Unlock()
	s.stop(errEnded)
	s.leases.stop()
	var errs []error
	for _, server := range servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// ErrNoFiles is what Reload returns if the instance was started without files.
var ErrNoFiles = errors.New("this instance has no rule files")

// badFiles is what is wrong with the files.
type badFiles struct{ error }

func (e *badFiles) Unwrap() error { return e.error }

// Reload reads the files again, as SIGHUP and the call do. With a mistake in them, the error
// wraps what Config.Load has returned, and nothing changes.
func (s *Server) Reload() error {
	if s.cfg.Load == nil {
		return ErrNoFiles
	}
	s.reloading.Lock()
	defer s.reloading.Unlock()
	set, err := s.cfg.Load()
	if err != nil {
		err = &badFiles{err}
	} else {
		err = s.book.SetFiles(set)
	}
	if err != nil {
		s.log.Warn("rules not reloaded", zap.Error(err))
		return err
	}
	s.reloaded(set)
	return nil
}

// reloaded tells that other files are in force.
func (s *Server) reloaded(set *rules.Set) {
	s.log.Info("rules reloaded", zap.Int("rules", len(set.Rules)))
	s.cfg.OnReload()
}
