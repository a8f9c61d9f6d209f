// Package web serves HTTP and ends it soon: what answers calls of a running instance.
package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A Server answers the calls that come in at one listener. Goroutines may share it.
type Server struct {
	http http.Server

	mu     sync.Mutex
	closed bool
	silent map[net.Conn]struct{} // on which nobody has asked anything yet
}

// New makes a Server whose calls have a context that ctx ends.
func New(ctx context.Context, h http.Handler, log *zap.Logger) *Server {
	s := &Server{silent: make(map[net.Conn]struct{})}
	s.http = http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          zap.NewStdLog(log),
		ConnState:         s.note,
	}
	return s
}

// Serve answers until Close is called, then it returns nil, or until the listener fails; it is closed then. It
// is called once.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// note keeps account of the silent connections.
func (s *Server) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(s.silent, c)
	case s.closed:
		c.Close()
	default:
		s.silent[c] = struct{}{}
	}
}

// closingTime is how long Close lets calls come to their end.
const closingTime = time.Second

// Close stops listening and lets calls finish that were made, for a second. Connections on which nobody has
// asked anything are closed: Shutdown of package net/http would wait for a call.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.silent {
		c.Close()
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closingTime)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		return s.http.Close()
	}
	return nil
}
