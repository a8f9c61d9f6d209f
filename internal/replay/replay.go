// Package replay runs rules over a capture, in virtual time: what would the
// box have done with these packets. It opens no device.
//
// Every segment of the capture counts as sent. With one interface the sender
// of a connection's first SYN stands on the client's side. With two, a
// connection's hosts stand where their segments are seen first; a segment that is
// seen on the other interface was delivered there, and is passed over. A connection
// that only one of the two has seen is as with one interface, but for captures of our
// own: there, what stands only on its receiver's side was forged. Where one side of them is
// all there is, comments tell what was.
package replay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/capture"
	"github.com/tcpmangle/tcpmangle/rules"
)

// Interfaces are the names of the two sides in captures that we write.
var Interfaces = []string{"client-side", "server-side"}

// A Config says what to run over the capture, and who hears of it.
type Config struct {
	Rules     *rules.Set
	Seed      uint64
	OnEvent   func(*engine.Event)
	OnLook    func(*engine.Look) // see engine.BoxConfig; nil if nobody asks
	AllEvents bool
	// Out, if it is not empty, is the file to which the outcome is written.
	Out string
}

// A Report is what came of it.
type Report struct {
	Rules     []engine.RuleReport
	Stats     engine.Stats
	Packets   int // taken from the capture
	Delivered int // passed over: seen on the interface of their receiver's side, or forged
	Truncated int // captured shorter than they were: they pass as what they are not
	Skipped   int // frames that hold no IP packet
	// Cut: the file ends within a packet. Those before it were played, what came after is
	// missing.
	Cut  bool
	Span time.Duration
}

// Run plays the capture in the file in.
func Run(in string, cfg Config) (r *Report, err error) {
	sides, err := survey(in)
	if err != nil {
		return nil, err
	}
	reader, err := capture.Open(in)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	p := &player{report: &Report{}, sides: sides}
	box := engine.BoxConfig{
		Rules: cfg.Rules, Seed: cfg.Seed, Output: discard{}, OnEvent: cfg.OnEvent, OnLook: cfg.OnLook, AllEvents: cfg.AllEvents,
	}
	if cfg.Out != "" {
		if sameFile(in, cfg.Out) {
			return nil, fmt.Errorf("%s: the outcome cannot be written over the capture", in)
		}
		comment := fmt.Sprintf("replay of %s, seed %d", in, cfg.Seed)
		w, err := capture.Create(cfg.Out, capture.Options{Start: sides.start, Comment: comment}, Interfaces...)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, w.Close()) }()
		box.Tap = w.Packet
	}
	p.box = engine.NewBox(box, 0)
	if err := p.play(reader); err != nil {
		return nil, fmt.Errorf("%s: %w", in, err)
	}
	p.report.Skipped = reader.Skipped()
	p.report.Rules, p.report.Stats = p.box.Report(), p.box.Stats()
	return p.report, nil
}

// sameFile tells whether two paths lead to one file; writing would destroy what is read.
func sameFile(a, b string) bool {
	first, errA := os.Stat(a)
	second, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(first, second)
}

// discard is where the box writes to: the outcome is in events and captures.
type discard struct{}

func (discard) Write(*engine.Emission) error { return nil }

type player struct {
	box    *engine.Box
	sides  *sides
	report *Report
}

func (p *player) play(reader *capture.Reader) error {
	var err error
	if p.report.Cut, err = each(reader, p.take); err != nil {
		return err
	}
	p.finish()
	return nil
}

// each calls do with each whole packet of a capture; cut tells that it ends within one.
func each(reader *capture.Reader, do func(*capture.Packet)) (cut bool, err error) {
	for packet, err := range reader.Packets() {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		do(&packet)
	}
	return false, nil
}

// take hands one packet to the box, at its time. Captures of several threads
// are not always in order; time never runs backwards all the same.
func (p *player) take(packet *capture.Packet) {
	side, delivered := p.sides.of(packet)
	if delivered {
		p.report.Delivered++
		return
	}
	p.report.Packets++
	if packet.Truncated {
		p.report.Truncated++
	}
	now := max(packet.Time.Sub(p.sides.start), p.report.Span)
	p.advance(now)
	buf := p.box.Buf()
	if len(packet.Data) > len(buf.Space()) {
		packet.Data = packet.Data[:len(buf.Space())]
	}
	buf.Set(packet.Data)
	p.box.Receive(now, side, buf)
}

// advance lets happen what is due up to now, each thing at its own time.
func (p *player) advance(now time.Duration) {
	p.report.Span = now
	for next, ok := p.box.Next(); ok && next <= now; next, ok = p.box.Next() {
		p.box.Advance(next)
	}
	p.box.Advance(now)
}

// finish lets out what is still delayed, or held with a timeout.
func (p *player) finish() {
	for next, ok := p.box.NextEmission(); ok; next, ok = p.box.NextEmission() {
		p.advance(max(next, p.report.Span))
	}
	p.box.Shutdown()
}
