package netns

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Socket is one TCP socket as the kernel shows it; ss sees the same. A
// connection without a line is CLOSED, whatever descriptors are still open.
type Socket struct {
	Local  netip.AddrPort // an IPv4 address also where the socket is an IPv6 one
	Remote netip.AddrPort // the unspecified address and port 0 of a listener

	// State is CLOSED, LISTEN, SYN_SENT, SYN_RCVD, ESTABLISHED, FIN_WAIT_1,
	// FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK or TIME_WAIT.
	State string

	// Inode is 0 of a socket that no process owns: a request of a listener
	// (SYN_RCVD), an orphan after close, TIME_WAIT.
	Inode uint32

	Timer       Timer
	Expires     time.Duration // until Timer fires; 0 where none runs
	Retransmits int           // of the segment, or probes sent, since the last progress

	SendQueue uint32 // bytes not acknowledged; the backlog of a listener
	RecvQueue uint32 // bytes not read; connections waiting for accept, of a listener

	dev    uint32 // the device it is bound to, 0 for any
	cookie uint64 // the kernel's name of exactly this socket, never 0
}

// A Timer is what a socket waits for.
type Timer uint8

// The timers, as sock_diag numbers them.
const (
	TimerOff        Timer = iota // none
	TimerRetransmit              // retransmission or loss probe
	TimerKeepalive               // keep-alive
	TimerTimeWait                // end of TIME_WAIT, or of FIN_WAIT_2 without a process
	TimerPersist                 // window probe
)

func (t Timer) String() string {
	names := [...]string{"off", "retransmit", "keepalive", "timewait", "persist"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("Timer(%d)", uint8(t))
}

// Sockets lists the TCP sockets of the namespace in no particular order: IPv4
// and IPv6, in every state, with the requests of listeners and TIME_WAIT.
// Sockets bound but neither listening nor connected are not shown.
func (n *NS) Sockets() ([]Socket, error) { return n.AppendSockets(nil) }

// AppendSockets appends what Sockets lists to dst. One that polls every few
// milliseconds passes the last slice cut to [:0], and nothing is allocated. On
// an error dst is returned as it was.
func (n *NS) AppendSockets(dst []Socket) ([]Socket, error) {
	socks, err := n.diag.dump(dst)
	if err != nil {
		return dst, fmt.Errorf("list tcp sockets: %w", err)
	}
	return socks, nil
}

// Destroy closes a socket from outside, as `ss -K` does: its owner gets
// ECONNABORTED. It closes the very socket that Sockets returned, or, of a Socket
// made up of Local and Remote, the one that has both. The kernel sends a RST
// where the state calls for one; who wants silence has to stop it on its way.
//
// A socket that is gone is unix.ENOENT. The kernel refuses listeners for
// Multipath TCP, which is what Go programs open, with unix.EINVAL; one built
// without this refuses all with unix.EOPNOTSUPP.
func (n *NS) Destroy(s Socket) error {
	err := n.destroy(s)
	if err != nil {
		return fmt.Errorf("destroy socket %v to %v: %w", s.Local, s.Remote, err)
	}
	return nil
}

// destroy asks for a socket by cookie only: without one the kernel's lookup goes
// on to the listener when it finds no connection, and that would be closed.
func (n *NS) destroy(s Socket) error {
	if s.cookie != 0 {
		return n.diag.destroy(s)
	}
	socks, err := n.Sockets()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(socks, func(o Socket) bool { return o.Local == s.Local && o.Remote == s.Remote })
	if i < 0 {
		return unix.ENOENT
	}
	return n.diag.destroy(socks[i])
}
