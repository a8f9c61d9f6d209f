// Package engine is the box: it takes packets from two devices, follows their
// connections, lets rules act on exactly the segments that they mean, and writes what
// is left to the other device.
//
// Box does all of this as a pure step: a packet and the time go in, emissions come out.
// Engine adds what a Box must not have: devices, a clock and goroutines. Each worker of an
// Engine owns a Box and everything in it, so no lock lies on a packet's path.
//
// A fault is one file, fault_*.go: its keys, and what it does to a segment.
package engine
