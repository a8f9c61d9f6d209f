package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"
)

// begin serves a handler on loopback; ended has what Serve returns.
func begin(t *testing.T, h http.HandlerFunc) (s *Server, address string, ended <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = New(t.Context(), h, zap.NewNop())
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return s, l.Addr().String(), done
}

// ends wants the server to be closed, by how long calls may take or much sooner.
func ends(t *testing.T, s *Server, ended <-chan error, atOnce bool) {
	t.Helper()
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if took := time.Since(began); atOnce && took >= closingTime {
		t.Errorf("it took %v to close", took)
	}
}

// Connections on which nobody has asked anything do not hold up the end, nor do idle ones.
func TestCloseSilent(t *testing.T) {
	s, address, ended := begin(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "yes") })
	var silent []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	resp, err := http.Get("http://" + address) // accepted after those
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	ends(t, s, ended, true)
	for _, c := range silent {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a silent connection: %d, %v", n, err)
		}
	}
}

// A call that was made is answered; one that does not end is not waited for, and its context ends.
func TestCloseCalls(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s, address, ended := begin(t, func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
		fmt.Fprint(w, "yes")
	})
	answer := make(chan string)
	go func() {
		resp, err := http.Get("http://" + address)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		answer <- string(text)
	}()
	<-entered
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		ends(t, s, ended, false)
	}()
	for { // until nobody listens any more
		c, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		c.Close()
	}
	close(leave)
	if got := <-answer; got != "yes" {
		t.Errorf("the answer is %q", got)
	}
	<-closed

	entered, gone := make(chan struct{}), make(chan struct{})
	s, address, ended = begin(t, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(gone)
	})
	go func() {
		req, _ := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "http://"+address, nil)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	<-entered
	ends(t, s, ended, false)
	<-gone
}
