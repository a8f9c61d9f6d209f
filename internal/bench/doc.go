// Package bench measures what the box costs on this machine, next to the
// kernel's own forwarding and to two proxies, in one run. It builds its own
// namespaces and leaves nothing behind.
//
//	kernel   [client] ── veth ── [router: ip_forward] ── veth ── [server]
//	proxy    [client] ── veth ── [router: toxiproxy  ] ── veth ── [server]
//	box      [client] ── TUN ── this process: Engine ── TUN ── [server]
//	bare     [client] ── TUN ── this process: reads and writes ── TUN ── [server]
//
// Client and server are processes of their own (Endpoint), so that the CPU time
// of this process is that of the box. Ways and rounds are interleaved: a
// neighbour's load or a change of clock speed meets all of them alike, and the
// medians of several rounds are compared, never numbers of different runs.
//
// What needs no device is measured on an engine.Box or a conntrack.Table alone:
// the cost of a segment, of a lookup, of a connection's memory.
package bench
