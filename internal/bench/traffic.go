package bench

import (
	"context"
	"errors"
	"time"
)

// What is measured, as reports name it; the unit stands beside it in units.
const (
	BulkOne     = "bulk, one flow"
	BulkFour    = "bulk, four flows"
	RoundTrip   = "request/response"
	RoundTrip99 = "request/response p99"
	Connections = "connections"
	ProcessCPU  = "process CPU" // of bulk in one flow; the others are not told apart by it
	MachineCPU  = "machine CPU"
	SegmentCost = "segment"
	LookupCost  = "lookup"
	LongestSYN  = "longest SYN"
	ReadCost    = "dependent read"
	Memory      = "memory"
	Allocations = "allocations"
	Lateness    = "lateness"
	Lateness99  = "lateness p99"
)

var units = map[string]string{
	BulkOne: "Gbit/s", BulkFour: "Gbit/s", RoundTrip: "us", RoundTrip99: "us", Connections: "/s",
	ProcessCPU: "s/GiB", MachineCPU: "s/GiB", SegmentCost: "ns", LookupCost: "ns", ReadCost: "ns",
	LongestSYN: "us", Memory: "bytes", Allocations: "", Lateness: "us", Lateness99: "us",
}

// A traffic is one kind of load, measured once.
type traffic func(ctx context.Context, r *run, name string, w *way) error

func bulkOne(ctx context.Context, r *run, name string, w *way) error {
	m, err := measureBulk(ctx, w, 1, r.cfg.Measure)
	if err != nil {
		return err
	}
	r.add(name, BulkOne, m.gbits())
	r.add(name, MachineCPU, m.perGiB(m.machine))
	if w.pid != 0 {
		r.add(name, ProcessCPU, m.perGiB(m.process))
	}
	return nil
}

func bulkFour(ctx context.Context, r *run, name string, w *way) error {
	m, err := measureBulk(ctx, w, 4, r.cfg.Measure)
	if err == nil {
		r.add(name, BulkFour, m.gbits())
	}
	return err
}

func roundTrip(_ context.Context, r *run, name string, w *way) error {
	var l Latency
	if err := w.client.call("Ping", Load{Addr: w.to, For: r.cfg.Measure}, &l); err != nil {
		return err
	}
	r.add(name, RoundTrip, micros(l.P50))
	r.add(name, RoundTrip99, micros(l.P99))
	return nil
}

func connecting(_ context.Context, r *run, name string, w *way) error {
	var perSecond float64
	err := w.client.call("Connect", Load{Addr: w.to, For: r.cfg.Measure}, &perSecond)
	if err == nil {
		r.add(name, Connections, perSecond)
	}
	return err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// A bulkMeasure is what happened between two looks at the server.
type bulkMeasure struct {
	bytes            uint64
	elapsed          time.Duration
	process, machine time.Duration // CPU time
}

func (m *bulkMeasure) gbits() float64 { return float64(m.bytes) * 8 / 1e9 / m.elapsed.Seconds() }

func (m *bulkMeasure) perGiB(cpu time.Duration) float64 {
	return cpu.Seconds() / (float64(m.bytes) / (1 << 30))
}

var errNothingCame = errors.New("nothing has come through")

// measureBulk lets the flows find their speed, and then looks at the server twice.
func measureBulk(ctx context.Context, w *way, flows int, d time.Duration) (m bulkMeasure, err error) {
	if err := w.client.call("Bulk", Load{Addr: w.to, Flows: flows}, &Nothing{}); err != nil {
		return m, err
	}
	sleep(ctx, d/4)
	before, err := lookAt(w)
	for err == nil && m.bytes == 0 && m.elapsed < patience && ctx.Err() == nil { // once, unless the machine is very busy
		sleep(ctx, d)
		m, err = before.until(w)
	}
	if stopped := w.client.call("Stop", Nothing{}, &Nothing{}); err == nil {
		err = stopped
	}
	if err == nil && m.bytes == 0 && ctx.Err() == nil {
		err = errNothingCame
	}
	return m, err
}

// A look is the counters of one moment.
type look struct {
	count            Count
	process, machine time.Duration
}

func lookAt(w *way) (l look, err error) {
	if l.machine, err = machineCPU(); err != nil {
		return l, err
	}
	if w.pid != 0 {
		if l.process, err = processCPU(w.pid); err != nil {
			return l, err
		}
	}
	l.count, err = w.server.count()
	return l, err
}

func (l *look) until(w *way) (m bulkMeasure, err error) {
	now, err := lookAt(w)
	return bulkMeasure{
		bytes:   now.count.Bytes - l.count.Bytes,
		elapsed: now.count.At - l.count.At,
		process: now.process - l.process,
		machine: now.machine - l.machine,
	}, err
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
