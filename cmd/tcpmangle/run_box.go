package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/control"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/capture"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// boxFlags are the flags of a box in front of real services: of exec and run.
type boxFlags struct {
	outputs
	files   []string
	offload tunnel.OffloadMode
	workers workersFlag
	poll    bool
	pcap    string
	api     string
	debug   bool
}

func (f *boxFlags) flags(set *pflag.FlagSet) {
	set.StringArrayVarP(&f.files, "file", "f", nil, "rule `file`; may be repeated, files are read in order")
	f.outputs.flags(set)
	set.TextVar(&f.offload, "offload", tunnel.Auto, "`mode` of the devices: auto, on (super-packets) or off (one segment a read)")
	set.Var(&f.workers, "workers", "`number` of threads that share the work, or auto: one for each processor")
	set.BoolVar(&f.poll, "busy-poll", false, "look for packets a while before waiting for them: less latency, more processor time")
	set.StringVar(&f.pcap, "pcap", "", "write what passed both sides to this pcapng `file`")
	set.BoolVar(&f.debug, "debug", false, "print the box's own log")
}

// device is how the devices shall be.
func (f *boxFlags) device() tunnel.Config {
	return tunnel.Config{Offload: f.offload, Queues: max(int(f.workers), 1)}
}

// read reads the files, and makes sure that none of them is written to.
func (f *boxFlags) read() (*ruleFiles, error) {
	files, err := loadRules(f.files)
	if err != nil {
		return nil, err
	}
	return files, guard(f.files, unlessStdout(f.events), f.pcap)
}

// A box is an Engine in front of real services, with what looks at it and acts on it.
type box struct {
	flags  *boxFlags
	files  *ruleFiles
	engine *engine.Engine
	book   *control.Book
	server *control.Server
	log    *zap.Logger

	events  *steadyFile
	capture *capture.Writer
	stop    context.CancelFunc
	done    chan error // has the result of Run, once
	served  []chan error
}

// start sets a box going between two devices. Its end is halt. What it has to say meanwhile
// goes to stderr.
func (f *boxFlags) start(files *ruleFiles, devices [2]tunnel.Device, stderr io.Writer) (b *box, err error) {
	b = &box{flags: f, files: files, log: zap.NewNop(), done: make(chan error, 1)}
	if f.debug {
		b.log, _ = zap.NewDevelopment()
	}
	stopped := func(err error) { complain(stderr, fmt.Errorf("%w; it has stopped, all else goes on", err), "") }
	if b.events, err = f.openSteady(stopped); err != nil {
		return nil, err
	}
	cfg := engine.Config{
		Devices: devices, Rules: files.set, Seed: f.seedOf(files.set), Workers: int(f.workers), BusyPoll: f.poll,
		AllEvents: f.allEvents, Log: b.log,
	}
	if f.events != "" {
		cfg.OnEvent = b.events.record
	}
	if f.pcap != "" {
		comment := fmt.Sprintf("seed %d", cfg.Seed)
		opts := capture.Options{Comment: comment, OnError: stopped}
		if b.capture, err = capture.Create(f.pcap, opts, "client-side", "server-side"); err != nil {
			return nil, b.events.close(err)
		}
		cfg.Tap = b.capture.Packet
	}
	if b.engine, err = engine.New(cfg); err != nil {
		return nil, b.closeFiles(err)
	}
	b.book = control.NewBook(b.engine, files.set)
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go func() { b.done <- b.engine.Run(ctx) }()
	return b, nil
}

// control makes the server that reloads and answers calls. in takes other rules, reloaded is told of them.
func (b *box) control(in *intake, reloaded func()) {
	cfg := control.Config{
		Engine: b.engine, Book: b.book, Read: in.read, OnReload: reloaded,
		Version: version, Token: os.Getenv(client.EnvToken), Log: b.log,
	}
	if len(in.paths) > 0 {
		cfg.Load = in.again
	}
	b.server = control.New(cfg)
}

// listen answers calls of the API at an address.
func (b *box) listen(address string) error {
	l, err := b.server.Listen(address)
	if err != nil {
		return &usageError{fmt.Errorf("api: %w", err), "--api ADDRESS for another place, --api off for none"}
	}
	b.serve(func() error { return b.server.Serve(l) })
	return nil
}

// serve runs a server until settle has it end.
func (b *box) serve(run func() error) {
	done := make(chan error, 1)
	b.served = append(b.served, done)
	go func() { done <- run() }()
}

// halt ends the box and all that listens; what is held is given up.
func (b *box) halt() error {
	var errs []error
	if b.server != nil {
		errs = append(errs, b.server.Close())
	}
	for _, done := range b.served {
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	b.stop()
	errs = append(errs, <-b.done)
	b.done <- nil // for whoever asks again
	return b.closeFiles(errors.Join(errs...))
}

// closeFiles finishes what is written; it returns err, or what went wrong here.
func (b *box) closeFiles(err error) error {
	err = b.events.close(err)
	if b.capture != nil {
		err = errors.Join(err, b.capture.Close())
		b.capture = nil
	}
	return err
}

// fired asks the box how often a rule has fired.
func (b *box) fired(name string) uint64 {
	for _, r := range b.engine.Report() {
		if r.Name == name {
			return r.Fired
		}
	}
	return 0
}

// How often what expectations are about is looked at: at a command as often as in a lab; at
// services, where that goes on for long, so that it costs nothing.
const (
	watchCommand  = 5 * time.Millisecond
	watchServices = 50 * time.Millisecond
)

// apiAddress is where the API listens; "" is nowhere.
func apiAddress(flag string) string {
	switch flag {
	case "off":
		return ""
	case "":
		return client.DefaultAddress()
	}
	return flag
}
