package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
)

// flushEvery is how long an event may wait to be in the file, so that one can watch it grow.
const flushEvery = time.Second

// A steadyFile is an events file that is never far behind, for a box that runs for long.
type steadyFile struct {
	tell func(error) // hears that the file has stopped, once
	mu   sync.Mutex  // of the worker that records and of the clock that flushes
	file *eventFile
	stop chan struct{}
}

// openSteady opens the events file, if one was asked for. tell hears when it cannot be written
// any more.
func (o *outputs) openSteady(tell func(error)) (*steadyFile, error) {
	file, err := o.open()
	if err != nil {
		return nil, err
	}
	s := &steadyFile{tell: tell, file: file, stop: make(chan struct{})}
	if file.w != nil {
		go s.flushing()
	}
	return s, nil
}

func (s *steadyFile) flushing() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if err := s.flush(); err != nil {
			s.tell(fmt.Errorf("events: %w", err))
			return
		}
	}
}

func (s *steadyFile) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file.err == nil {
		s.file.err = s.file.w.Flush()
	}
	return s.file.err
}

func (s *steadyFile) record(e *engine.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file.record(e)
}

// close finishes the file; it returns err, or what went wrong here.
func (s *steadyFile) close(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.stop)
	return s.file.close(err)
}
