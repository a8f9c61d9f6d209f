package netns

import (
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Here is the namespace of this process. Unlike others it needs no CAP_SYS_ADMIN.
func Here() (*NS, error) {
	n := &NS{here: true}
	if err := n.take(); err != nil {
		n.Close()
		return nil, fmt.Errorf("the own network namespace: %w", err)
	}
	return n, nil
}

// Open takes hold of a namespace that somebody else made, by a file that stands for
// it: /run/netns/NAME, /proc/PID/ns/net. It needs CAP_SYS_ADMIN in both.
func Open(path string) (*NS, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	n := &NS{ns: file}
	if err := n.Do(n.takeHandles); err != nil {
		n.Close()
		return nil, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return n, nil
}

// take takes hold of the namespace that the thread is in, and changes nothing there.
func (n *NS) take() (err error) {
	if n.ns, err = threadNS(); err != nil {
		return err
	}
	return n.takeHandles()
}

func (n *NS) takeHandles() (err error) {
	if n.route, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("rtnetlink: %w", err)
	}
	n.diag, err = newDiag()
	return err
}

// Cookie is a number that no other namespace has, nor ever had since the machine was started;
// 0 where the kernel, before Linux 5.14, has none.
func (n *NS) Cookie() (cookie uint64) {
	_ = n.Do(func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return err
	})
	return cookie
}

// ID is the namespace's number, the same for everybody who holds it while it lives. When it has
// gone, another one may have it.
func (n *NS) ID() (inode uint64, err error) {
	info, err := n.ns.Stat()
	if err != nil {
		return 0, err
	}
	return inodeOf(info), nil
}
