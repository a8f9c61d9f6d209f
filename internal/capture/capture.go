// Package capture writes and reads packet captures: pcapng out, pcap and pcapng
// in. It is off the packet path: a worker copies a packet into a queue and goes
// on, a goroutine behind the queue writes it.
package capture
