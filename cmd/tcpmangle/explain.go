package main

import (
	"bufio"
	"errors"
	"io"

	"github.com/spf13/pflag"

	"github.com/tcpmangle/tcpmangle/engine"
)

// explainFlag asks what the rules made of each segment.
type explainFlag bool

func (on *explainFlag) flag(f *pflag.FlagSet) {
	f.BoolVar((*bool)(on), "explain", false, "print for each segment which rules looked at it, and the first predicate that failed")
}

// alone refuses what would stand between the lines on standard output.
func (on explainFlag) alone(o *outputs) error {
	if bool(on) && (o.json || o.events == "-") {
		return errors.New("--explain writes to standard output, as do --json and --events -")
	}
	return nil
}

// An explainer writes looks as text; look is nil if nobody has asked.
type explainer struct {
	look func(*engine.Look)
	w    *bufio.Writer
	line []byte
}

func (on explainFlag) open(w io.Writer) *explainer {
	x := &explainer{w: bufio.NewWriter(w)}
	if on {
		x.look = x.hear
	}
	return x
}

func (x *explainer) hear(l *engine.Look) {
	x.line = l.AppendText(x.line[:0])
	x.w.Write(x.line) // an error comes back from Flush
}

// close writes what has gathered; it returns err, or what went wrong here.
func (x *explainer) close(err error) error {
	if flushed := x.w.Flush(); flushed != nil {
		return errors.Join(err, flushed)
	}
	return err
}
