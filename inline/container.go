package inline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// NamespacePath is the file that stands for a network namespace: name is that of one that
// ip netns has made, or a path.
func NamespacePath(name string) string {
	if strings.ContainsRune(name, '/') {
		return name
	}
	return filepath.Join("/run/netns", name)
}

// ProcessPath is the file that stands for the network namespace of a process.
func ProcessPath(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

// What OpenContainer says of a container besides what an engine complains about.
var (
	// ErrNotRunning: it has no process.
	ErrNotRunning = errors.New("the container is not running")
	// ErrElsewhere: the process that its engine tells is not one of the container's here.
	ErrElsewhere = errors.New("its engine counts other processes than this machine does")
)

// A Container is one of docker or podman that runs.
type Container struct {
	PID    int  // of its first process
	Paused bool // its processes stand still; the kernel goes on answering for them

	process *os.File // a pidfd: it stands for the process also when others get its number
	ended   chan struct{}
	watched chan struct{}
}

// OpenContainer finds a container by its name, its id or the beginning of that, as the
// engines of this machine do. Close lets go of it.
func OpenContainer(name string) (*Container, error) {
	c, err := openContainer(name)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", name, err)
	}
	return c, nil
}

func openContainer(name string) (*Container, error) {
	of, err := askEngines(name)
	if err != nil {
		return nil, err
	}
	pid := of.State.PID
	if pid == 0 {
		return nil, ErrNotRunning
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	if err != nil || !belongs(pid, of.ID) {
		unix.Close(fd)
		return nil, fmt.Errorf("process %d: %w", pid, ErrElsewhere)
	}
	c := &Container{
		PID: pid, Paused: of.State.Paused,
		process: os.NewFile(uintptr(fd), "pidfd"), ended: make(chan struct{}), watched: make(chan struct{}),
	}
	go c.watch()
	return c, nil
}

// belongs tells whether a process is one of a container: docker and podman name its id in
// the paths of what they mount for it, and of its control group. An engine on another
// machine, or in another namespace of processes, has numbers that mean somebody else here.
func belongs(pid int, id string) bool {
	for _, file := range []string{"mountinfo", "cgroup"} {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if id != "" && strings.Contains(string(text), id) {
			return true
		}
	}
	return false
}

// Ended is closed when the container's first process has ended. Its network namespace
// stays for as long as somebody holds it, but nothing comes into it any more.
func (c *Container) Ended() <-chan struct{} { return c.ended }

// NetNS takes hold of the container's network namespace, which the caller closes. The error is
// ErrNotRunning, or fs.ErrNotExist, if the container has ended meanwhile.
func (c *Container) NetNS() (*netns.NS, error) {
	ns, err := netns.Open(ProcessPath(c.PID))
	if err != nil {
		return nil, err
	}
	conn, err := c.process.SyscallConn()
	if err == nil {
		ended := false // while it has not, its number is nobody else's
		if err = conn.Control(func(fd uintptr) { ended = hasEnded(fd) }); err == nil && ended {
			err = ErrNotRunning
		}
	}
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return ns, nil
}

// watch waits until the process has ended, or for Close.
func (c *Container) watch() {
	defer close(c.watched)
	conn, err := c.process.SyscallConn()
	if err == nil && conn.Read(hasEnded) == nil {
		close(c.ended)
	}
}

// hasEnded tells whether the process of a pidfd has.
func hasEnded(fd uintptr) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0 && err == nil
}

// Close lets go of the container, which does not notice.
func (c *Container) Close() error {
	err := c.process.Close()
	<-c.watched
	return err
}
