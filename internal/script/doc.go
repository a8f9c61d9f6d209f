// Package script is the small language in which a lab tells one host what to
// do with its sockets, and the runner that does it on real kernel sockets.
//
// A script is text, one command a line; # at the start of a line or after a
// blank begins a comment.
//
//	listen PORT [backlog N]         wait for connections to PORT
//	accept                          take the next one
//	connect HOST:PORT [from PORT]   open a connection, from a chosen local port
//	send TEXT                       TEXT as it stands, or "quoted\n" with escapes
//	send N bytes                    N bytes of the pattern (see Pattern)
//	recv N [pattern]                read exactly N bytes
//	recv eof [pattern]              read until the peer's FIN
//	recv-text TEXT                  read exactly this text
//	shutdown                        send FIN, keep reading
//	close                           close(2)
//	abort                           close(2) with SO_LINGER 0: RST
//	sleep D                         do nothing for D
//	set OPTION [VALUE]              a socket option (see below)
//	expect-error E ...              the next command must fail with one of these
//
// A number of bytes may have a unit, as in 64KiB. Quoted text knows the
// escapes \n \r \t \0 \\ \" and \xHH.
//
// # Which socket a command means
//
// A script may hold several sockets. send, recv, recv-text and shutdown mean
// the latest connection that is not closed; accept the latest listener; close,
// abort and set the latest socket of any kind. So after its connections a
// script can close its listener. What a script leaves open stays open when it
// ends, until Kill or Vanish: half-open labs live from that.
//
// set while no socket is open holds for every socket the script makes from
// then on; accepted connections inherit from their listener, as the kernel has
// it. set with a socket open changes that socket alone. Every socket uses
// cubic where the kernel allows the choice.
//
//	keepalive [on|off|IDLE/INTERVAL/COUNT]   SO_KEEPALIVE and its times: 1s/1s/3
//	user-timeout D|off                       TCP_USER_TIMEOUT
//	linger D|off                             SO_LINGER; 0s makes every close an abort
//	linger2 D|off                            TCP_LINGER2: life of an orphan in FIN_WAIT_2
//	nodelay, cork, quickack [on|off]         TCP_NODELAY, TCP_CORK, TCP_QUICKACK
//	fastopen [on|off]                        TCP_FASTOPEN_CONNECT: the SYN asks for a cookie
//	reuseaddr, reuseport [on|off]            SO_REUSEADDR, SO_REUSEPORT
//	rcvbuf, sndbuf, window-clamp N           SO_RCVBUF, SO_SNDBUF, TCP_WINDOW_CLAMP
//	syncnt N                                 TCP_SYNCNT: retransmissions of a SYN
//	defer-accept D                           TCP_DEFER_ACCEPT
//	maxseg N                                 TCP_MAXSEG
//	congestion NAME                          TCP_CONGESTION
//
// SO_REUSEADDR must be set on both sockets that share a port, so also on the
// one that went into TIME_WAIT (Linux, inet_bind_conflict).
//
// # Errors
//
// A command fails with a name: that of the errno, as in ECONNRESET; [EOF] for
// a stream that ended too early; [Mismatch] for bytes other than expected;
// [Unresolved] for a host nobody knows. A failure nobody expected ends the
// script.
package script
