package capture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

const (
	// queueLen bounds the packets that wait to be written, and the memory kept
	// for later ones: 1.5 MB each where packets are segments.
	queueLen = 1024
	// maxComment is what the length of a pcapng option can say.
	maxComment = 1<<16 - 1
	// nanoseconds is the time resolution of what we write, 10^-9 s.
	nanoseconds = 9
)

// Options describe a capture. The zero value is fine.
type Options struct {
	Start       time.Time // the moment that Packet's times count from; zero is now
	Application string    // who wrote it; empty is "tcpmangle"
	Comment     string    // about the whole capture, the seed for example

	// OnError hears of the first error of writing, when it happens; what comes after it is
	// lost. The writing goroutine calls it, once. nil: nobody wants to.
	OnError func(error)
}

// A Writer writes a pcapng capture of IP packets (link type RAW, nanoseconds).
//
// The capture is complete. A disk slower than the traffic fills the queue, and
// then Packet waits: the box slows down rather than leave something out.
// Goroutines may share a Writer; packets stand in the order of their calls.
type Writer struct {
	start time.Time
	ng    *pcapgo.NgWriter
	file  io.Closer // what Create opened, else nil
	tell  func(error)
	queue chan *record
	free  chan *record // written ones, to be filled again
	done  chan struct{}
	err   atomic.Pointer[error] // the first, set by the writing goroutine
}

// A record is one packet on its way to the file. Packet takes it from the free
// ones, the writing goroutine gives it back.
type record struct {
	iface   int
	t       time.Duration
	data    []byte
	comment string
}

// Create makes the file and a Writer on it; Close closes both.
func Create(file string, opts Options, interfaces ...string) (*Writer, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	w, err := New(f, opts, interfaces...)
	if err != nil {
		f.Close()
		return nil, err
	}
	w.file = f
	return w, nil
}

// New writes the head of a capture with the named interfaces, which Packet
// counts from 0, and starts the writing goroutine; only Close ends it. The
// caller keeps w and closes it after Close.
func New(w io.Writer, opts Options, interfaces ...string) (*Writer, error) {
	if len(interfaces) == 0 {
		return nil, errors.New("capture: no interface")
	}
	if opts.Start.IsZero() {
		opts.Start = time.Now()
	}
	ng, err := writeHead(w, opts, interfaces)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	c := &Writer{
		start: opts.Start,
		tell:  opts.OnError,
		ng:    ng,
		queue: make(chan *record, queueLen),
		free:  make(chan *record, queueLen),
		done:  make(chan struct{}),
	}
	go c.run()
	return c, nil
}

// writeHead writes the section header and the interfaces.
func writeHead(w io.Writer, opts Options, interfaces []string) (*pcapgo.NgWriter, error) {
	if opts.Application == "" {
		opts.Application = "tcpmangle"
	}
	ng, err := pcapgo.NewNgWriterInterface(w, rawInterface(interfaces[0]), pcapgo.NgWriterOptions{
		SectionInfo: pcapgo.NgSectionInfo{
			Hardware:    runtime.GOARCH,
			OS:          runtime.GOOS,
			Application: clip(opts.Application),
			Comment:     clip(opts.Comment),
		},
	})
	if err != nil {
		return nil, err
	}
	for _, name := range interfaces[1:] {
		if _, err := ng.AddInterface(rawInterface(name)); err != nil {
			return nil, err
		}
	}
	return ng, ng.Flush()
}

func rawInterface(name string) pcapgo.NgInterface {
	return pcapgo.NgInterface{Name: clip(name), OS: runtime.GOOS, LinkType: layers.LinkTypeRaw, TimestampResolution: nanoseconds}
}

// Packet adds a packet seen on an interface at t after the start, with a comment
// unless that is empty. Data is a whole IP packet, one real segment, and is
// copied before Packet returns. It waits while the queue is full. It must not be
// called after Close.
func (w *Writer) Packet(iface int, t time.Duration, data []byte, comment string) {
	r := w.get()
	r.iface, r.t, r.comment = iface, t, comment
	r.data = append(r.data[:0], data...)
	w.queue <- r
}

// Err returns the first error of writing so far. What came after it is lost.
func (w *Writer) Err() error {
	if err := w.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Close writes what is queued and returns the first error of all. It is called
// once, when no call of Packet is under way or will follow.
func (w *Writer) Close() error {
	close(w.queue)
	<-w.done
	if w.file != nil {
		w.fail(w.file.Close())
	}
	return w.Err()
}

// run is the writing goroutine. Whenever it has caught up the file is whole, so
// that a reader may follow it and a kill costs no more than the queue. After an
// error it goes on taking packets, for the sake of those who wait in Packet.
func (w *Writer) run() {
	defer close(w.done)
	for r := range w.queue {
		if w.err.Load() == nil {
			w.fail(w.write(r))
			if err := w.Err(); err != nil && w.tell != nil {
				w.tell(err)
			}
		}
		w.put(r)
	}
}

// get returns a free record, or a new one when all are on their way.
func (w *Writer) get() *record {
	select {
	case r := <-w.free:
		return r
	default:
		return new(record)
	}
}

// put makes a record free. There is room for as many as can wait.
func (w *Writer) put(r *record) {
	r.comment = ""
	select {
	case w.free <- r:
	default:
	}
}

func (w *Writer) write(r *record) error {
	info := gopacket.CaptureInfo{
		Timestamp:      w.start.Add(r.t),
		CaptureLength:  len(r.data),
		Length:         len(r.data),
		InterfaceIndex: r.iface,
	}
	var opts pcapgo.NgPacketOptions
	if r.comment != "" {
		opts.Comments = []string{clip(r.comment)}
	}
	if err := w.ng.WritePacketWithOptions(info, r.data, opts); err != nil {
		return err
	}
	if len(w.queue) == 0 {
		return w.ng.Flush()
	}
	return nil
}

// fail keeps the first error.
func (w *Writer) fail(err error) {
	if err != nil {
		told := fmt.Errorf("capture: %w", err) // its own variable, or each call would allocate
		w.err.CompareAndSwap(nil, &told)
	}
}

// clip shortens a text to what an option can hold, between two characters.
func clip(s string) string {
	if len(s) <= maxComment {
		return s
	}
	n := maxComment
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
