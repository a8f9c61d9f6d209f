package script

import "slices"

// A Doc is one line of the reference: how it is written, and what it does. In what
// stands in square brackets | divides what may stand there, or nothing of it.
type Doc struct{ Usage, Doc string }

// Commands are what a line of a script may say, in the order of a connection's life.
func Commands() []Doc { return slices.Clone(commandDocs) }

// Options are what set may be followed by.
func Options() []Doc { return slices.Clone(optionDocs) }

var commandDocs = []Doc{
	{"listen PORT [backlog N]", "wait for connections to a port"},
	{"accept", "take the next one"},
	{"connect HOST:PORT [from PORT]", "open a connection, from a chosen local port; hosts are client and server"},
	{"send TEXT", `the text as it stands, or "quoted\n" with escapes`},
	{"send N bytes", "so many bytes of a fixed pattern"},
	{"recv N [pattern]", "read exactly so many bytes, and check that they are the pattern"},
	{"recv eof [pattern]", "read until the peer's FIN"},
	{"recv-text TEXT", "read exactly this text"},
	{"shutdown", "send FIN, keep reading"},
	{"close", "close(2)"},
	{"abort", "close(2) with SO_LINGER 0: RST"},
	{"sleep D", "nothing for so long, as 10ms or 1.5s"},
	{"set OPTION [VALUE]", "a socket option; with no socket open it holds for all that follow"},
	{"expect-error E ...", "the next command must fail with one of these"},
}

var optionDocs = []Doc{
	{"keepalive [on|off|IDLE/INTERVAL/COUNT]", "SO_KEEPALIVE and its times, as 1s/1s/3"},
	{"user-timeout D|off", "TCP_USER_TIMEOUT"},
	{"linger D|off", "SO_LINGER; 0s makes every close an abort"},
	{"linger2 D|off", "TCP_LINGER2: how long an orphan stays in FIN_WAIT_2"},
	{"nodelay [on|off]", "TCP_NODELAY"},
	{"cork [on|off]", "TCP_CORK"},
	{"quickack [on|off]", "TCP_QUICKACK"},
	{"fastopen [on|off]", "TCP_FASTOPEN_CONNECT: the SYN asks for a cookie"},
	{"reuseaddr [on|off]", "SO_REUSEADDR"},
	{"reuseport [on|off]", "SO_REUSEPORT"},
	{"rcvbuf N", "SO_RCVBUF"},
	{"sndbuf N", "SO_SNDBUF"},
	{"window-clamp N", "TCP_WINDOW_CLAMP"},
	{"syncnt N", "TCP_SYNCNT: how often a SYN is sent again"},
	{"defer-accept D|off", "TCP_DEFER_ACCEPT"},
	{"maxseg N", "TCP_MAXSEG"},
	{"congestion NAME", "TCP_CONGESTION"},
}
