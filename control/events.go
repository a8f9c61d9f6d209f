package control

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
)

const (
	// writeTime is how long a reader may refuse to take anything.
	writeTime = 30 * time.Second
	// lastTime is how long it may do so when the stream ends.
	lastTime = 200 * time.Millisecond
	// stillThere is how often a stream of SSE shows that it lives.
	stillThere = 15 * time.Second
)

// events streams what happens from now on, until the caller goes, or the server or the engine
// ends: JSON lines, or server-sent events where those are asked for.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	l, err := readListener(r)
	if err != nil {
		return err
	}
	defer s.hub.leave(l) // also if the engine has stopped
	if err := s.hub.join(l); err != nil {
		return err
	}
	out := &stream{w: w, control: http.NewResponseController(w)}
	out.sse = strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	out.open()
	if r.Method == http.MethodHead {
		return nil
	}
	ctx, cancel := s.during(r)
	defer cancel()
	out.run(ctx, l)
	return nil // the answer has begun
}

// readListener reads what a caller wants to hear.
func readListener(r *http.Request) (*listener, error) {
	q := r.URL.Query()
	l := &listener{rule: q.Get("rule"), wake: make(chan struct{}, 1)}
	for _, list := range q["type"] {
		for name := range strings.SplitSeq(list, ",") {
			if types := engine.EventTypes(); !slices.Contains(types, name) {
				return nil, refuse(http.StatusBadRequest, "type: there are no events %q; there are %s", name, strings.Join(types, ", "))
			}
			l.types = append(l.types, name)
		}
	}
	var err error
	if l.conn, err = number(r, "conn", 0); err != nil {
		return nil, err
	}
	if text := q.Get("all"); text != "" {
		if l.all, err = strconv.ParseBool(text); err != nil {
			return nil, refuse(http.StatusBadRequest, "all: %q is not true or false", text)
		}
	}
	return l, nil
}

// A stream writes lines as they come.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	sse     bool
	buf     []byte
}

// open sends the head at once, so that the caller knows that it hears from here on.
func (s *stream) open() {
	kind := "application/x-ndjson"
	if s.sse {
		kind = "text/event-stream"
	}
	s.w.Header().Set("Content-Type", kind)
	s.w.Header().Set("Cache-Control", "no-store")
	s.w.WriteHeader(http.StatusOK)
	_ = s.control.Flush()
}

// run writes until ctx ends or the reader has gone. What has happened until then is written, unless
// the reader takes nothing now.
func (s *stream) run(ctx context.Context, l *listener) {
	defer context.AfterFunc(ctx, func() { _ = s.control.SetWriteDeadline(time.Now().Add(lastTime)) })()
	tick := time.NewTicker(stillThere)
	defer tick.Stop()
	for {
		var lines [][]byte
		select {
		case <-ctx.Done():
			if lines = l.take(); lines != nil {
				_ = s.write(ctx, lines)
			}
			return
		case <-l.wake:
			if lines = l.take(); lines == nil {
				continue // they went with the ones before
			}
		case <-tick.C:
			if !s.sse {
				continue
			}
		}
		if s.write(ctx, lines) != nil {
			return
		}
	}
}

// write sends lines, or none: a comment, to show that the stream lives.
func (s *stream) write(ctx context.Context, lines [][]byte) error {
	s.buf = s.buf[:0]
	for _, line := range lines {
		if s.sse {
			s.buf = append(s.buf, "data: "...)
		}
		s.buf = append(s.buf, line...)
		if s.sse {
			s.buf = append(s.buf, '\n')
		}
	}
	if len(lines) == 0 {
		s.buf = append(s.buf, ":\n\n"...)
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTime))
	if ctx.Err() != nil { // later, run says so
		_ = s.control.SetWriteDeadline(time.Now().Add(lastTime))
	}
	if _, err := s.w.Write(s.buf); err != nil {
		return err
	}
	return s.control.Flush()
}
