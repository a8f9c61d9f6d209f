package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// A pipes is a listener whose connections are pipes, so that virtual time holds for them.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// dial connects.
func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// get calls the server on a connection of its own, which stays open.
func (p *pipes) get(ctx context.Context) (text string, err error) {
	caller := http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil },
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://pipe", nil)
	if err != nil {
		return "", err
	}
	resp, err := caller.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return string(all), err
}

// begin serves a handler; ended has what Serve returns.
func begin(t *testing.T, h http.HandlerFunc) (s *Server, p *pipes, ended <-chan error) {
	t.Helper()
	p = &pipes{make(chan net.Conn), make(chan struct{})}
	s = New(t.Context(), h, zap.NewNop())
	done := make(chan error, 1)
	go func() { done <- s.Serve(p) }()
	t.Cleanup(func() { s.Close() })
	return s, p, done
}

// ends wants the server to be closed, and tells how long that took.
func ends(t *testing.T, s *Server, ended <-chan error) time.Duration {
	t.Helper()
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	return time.Since(began)
}

// Connections on which nobody has asked anything do not hold up the end, nor do idle ones.
func TestCloseSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, ended := begin(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "yes") })
		silent := []net.Conn{p.dial(), p.dial(), p.dial()}
		if text, err := p.get(t.Context()); err != nil || text != "yes" { // accepted after those
			t.Fatalf("the answer is %q, %v", text, err)
		}
		if took := ends(t, s, ended); took >= closingTime {
			t.Errorf("it took %v to close", took)
		}
		for _, c := range silent {
			if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("a silent connection: %d, %v", n, err)
			}
		}
	})
}

// A call that was made is answered; one that does not end is not waited for, and its context ends.
func TestCloseCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		s, p, ended := begin(t, func(w http.ResponseWriter, r *http.Request) {
			<-leave
			fmt.Fprint(w, "yes")
		})
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if text, err := p.get(t.Context()); err != nil || text != "yes" {
				t.Errorf("the answer is %q, %v", text, err)
			}
		}()
		synctest.Wait()
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			ends(t, s, ended)
		}()
		synctest.Wait() // nobody listens any more
		close(leave)
		<-answered
		<-closed
	})
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		s, p, ended := begin(t, func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			close(gone)
		})
		failed := make(chan error)
		go func() {
			_, err := p.get(t.Context())
			failed <- err
		}()
		synctest.Wait()
		if took := ends(t, s, ended); took != closingTime {
			t.Errorf("it took %v to close, want %v", took, closingTime)
		}
		<-gone
		if err := <-failed; err == nil {
			t.Error("a call that does not end was answered")
		}
	})
}
