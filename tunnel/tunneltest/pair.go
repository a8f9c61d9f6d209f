// Package tunneltest has TUN devices without a kernel, for tests of what runs
// between two of them. The code under test holds them as [tunnel.Device]; the test
// plays the kernel on the other side with Send and Receive.
//
//	test ── Send ──► ring ──► Queue.Read ──┐
//	                                       ├── code under test
//	test ◄─ Receive ◄─────── Queue.Write ──┘
//
// They work in a testing/synctest bubble if they are made in it: a worker that
// waits in a tunnel.Poller is then durably blocked, and time is virtual.
package tunneltest

import (
	"testing"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

// Pair makes two devices, near and far, that know nothing of each other: what
// stands between them is up to the code under test. They are closed when the test
// ends. By default each has one queue, an MTU of 1500, a ring of 10000 packets and
// no offload.
func Pair(t testing.TB, options ...Option) (near, far *Device) {
	t.Helper()
	return New(t, append([]Option{WithName("near")}, options...)...),
		New(t, append([]Option{WithName("far")}, options...)...)
}

// An Option changes a device from what Pair says.
type Option func(*Device)

// WithName names the device.
func WithName(name string) Option { return func(d *Device) { d.name = name } }

// WithOffload lets packets have a Header, both ways.
func WithOffload(on bool) Option { return func(d *Device) { d.offload = on } }

// WithQueues gives the device n queues.
func WithQueues(n int) Option { return func(d *Device) { d.queues = make([]queue, n) } }

// WithRing makes room for n packets per queue that were sent and not yet read.
func WithRing(n int) Option { return func(d *Device) { d.ringLen = n } }

// WithMTU sets what MTU returns. Nothing is cut or refused for its length.
func WithMTU(n int) Option { return func(d *Device) { d.mtu = n } }

// WithSink has every written packet passed to sink instead of kept for Receive.
// It runs in the goroutine that writes, so with several workers several at once,
// and must not keep the slices. Benchmarks and allocation tests want it.
func WithSink(sink func(queue int, h tunnel.Header, head, body []byte)) Option {
	return func(d *Device) { d.sink = sink }
}
