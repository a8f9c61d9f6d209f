// Package tunnel is the edge to the kernel: the TUN devices that packets come
// from and go to. It knows queues and bytes, and nothing of TCP.
//
// Two backends stand behind [Device]. The plain one is made by songgao/water:
// each packet is one segment with complete checksums. The offload one adds the
// virtio header, so that one read may bring up to 64 KiB as the kernel has it
// before segmentation, and one write may give it back so. Package tunneltest
// has a third one without a kernel.
//
// A worker's loop is: read each queue until [ErrEmpty], then wait in a [Poller].
//
//	kernel ──► ring ──► Queue.Read ──► worker ──► Queue.Write ──► kernel
//	            │             ▲
//	            ▼             └── Poller.Wait: a packet, a due time, or Wake
//	     full: Device.Dropped
package tunnel

import "errors"

// MaxPacket is the largest packet that a Read returns, in bytes: an IPv6 header
// and the longest payload its length field can tell (RFC 8200, section 3). The
// virtio header does not count; it is never part of the packet.
const MaxPacket = 40 + 65535

// ErrEmpty is returned by [Queue.Read] when no packet is waiting. It is returned
// bare, so that asking a dry queue costs nothing but the asking.
var ErrEmpty = errors.New("no packet is waiting")

// ErrOffload is returned by [Queue.Write] of a device without offload for a
// packet that leaves work to the kernel: a super-packet, or a partial checksum.
var ErrOffload = errors.New("the device has no offload: it takes single segments with complete checksums")

// A Device is one network interface whose far end is this process. Its methods
// may be called from any goroutine.
type Device interface {
	// Name is the interface's name, never a pattern.
	Name() string

	// MTU is the MTU the device was opened with, in bytes of IP packet. A
	// super-packet is longer.
	MTU() int

	// Offload tells whether packets carry a meaningful Header: super-packets
	// may be read and written, and checksums may be partial.
	Offload() bool

	// Queues is the number of queues, at least one.
	Queues() int

	// Queue is the queue of that index, from 0 in the kernel's order, which is
	// the order steering counts in. The Device owns it; it ends with Close.
	Queue(i int) Queue

	// Dropped is the number of packets that the kernel lost because the ring
	// was full (or the device down) before we could read them: tx_dropped of
	// the interface. After Close it stays at its last value.
	Dropped() (uint64, error)

	// Close closes every queue. Waiting pollers return, and reads and writes
	// that follow fail with an error that wraps os.ErrClosed. The interface
	// vanishes with its routes. Closing again does nothing and returns nil.
	Close() error
}

// A Queue is one pair of rings, to us and from us. Reading and writing never
// block. One worker uses it at a time; only the Device's Close may happen meanwhile.
type Queue interface {
	// Read takes the next packet: n bytes of bare IP packet from b[0] on, and
	// what the kernel left undone about it. b stays the caller's and needs room
	// for MaxPacket bytes, else io.ErrShortBuffer, since the kernel would cut
	// a longer packet and not say so. With nothing to read the error is
	// ErrEmpty; after Close it wraps os.ErrClosed; any other is the device's end.
	Read(b []byte) (n int, h Header, err error)

	// Write gives one packet to the kernel, head and body one after the other;
	// body may be nil. Neither is kept. A packet goes in whole or not at all:
	// an error means that it was lost. A device without offload wants a Header
	// that asks for nothing, else ErrOffload.
	Write(h Header, head, body []byte) error
}
