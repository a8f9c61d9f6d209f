// Package ladder plays scripts that show what the box does to connections over
// time. It is the notation of packetdrill with two sides: what comes in from
// either endpoint, and what has to leave for the other, then and not a
// nanosecond off, since time is virtual.
//
//	# The server's FIN is lost once.
//	rules lose-fin.toml
//
//	+0      C->   S   0:0(0) win 65535 <mss 1460,wscale 7>
//	+0      ->S   =
//	...
//	+10ms   S->|  F.  1:1(0) ack 1           # it comes in and never leaves
//	+200ms  S->C  F.  1:1(0) ack 1           # it comes in and leaves
//	state   client CLOSE_WAIT  server FIN_WAIT_1
//
// README.md in this folder is the whole language. Load and Parse read a script
// or refuse it with every mistake at its place; Script.Play plays it on an
// engine.Box and tells how it went in a Report.
package ladder
