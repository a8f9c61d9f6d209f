package tunnel_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var modes = []tunnel.OffloadMode{tunnel.Off, tunnel.On, tunnel.Auto}

func eachMode(t *testing.T, claim func(t *testing.T, mode tunnel.OffloadMode)) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) { claim(t, mode) })
	}
}

// attrs are the link's attributes as its namespace tells, or nil if it is not there.
func (ns *netns) attrs(t *testing.T, name string) (attrs *netlink.LinkAttrs) {
	t.Helper()
	ns.must(t, func() error {
		link, err := netlink.LinkByName(name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil
		}
		if err == nil {
			attrs = link.Attrs()
		}
		return err
	})
	return attrs
}

func TestOpen(t *testing.T) {
	tests := []struct {
		name   string
		config tunnel.Config
		want   string // name
		mtu    int
		queues int
	}{
		{"defaults", tunnel.Config{}, "mgl0", 1500, 1},
		{"named", tunnel.Config{Name: "box"}, "box", 1500, 1},
		{"longest name", tunnel.Config{Name: "fifteen-letters"}, "fifteen-letters", 1500, 1},
		{"pattern", tunnel.Config{Name: "x%dy"}, "x0y", 1500, 1},
		{"mtu", tunnel.Config{MTU: 9000}, "mgl0", 9000, 1},
		{"smallest mtu", tunnel.Config{MTU: 68}, "mgl0", 68, 1},
		{"largest mtu", tunnel.Config{MTU: 65535}, "mgl0", 65535, 1},
		{"two queues", tunnel.Config{Queues: 2}, "mgl0", 1500, 2},
		{"many queues", tunnel.Config{Queues: 256}, "mgl0", 1500, 256},
	}
	eachMode(t, func(t *testing.T, mode tunnel.OffloadMode) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				ns := newNetns(t)
				test.config.Offload = mode
				d := ns.open(t, test.config)
				if d.Name() != test.want || d.MTU() != test.mtu || d.Queues() != test.queues {
					t.Errorf("opened %s, mtu %d, %d queues, want %s, %d, %d",
						d.Name(), d.MTU(), d.Queues(), test.want, test.mtu, test.queues)
				}
				if want := mode != tunnel.Off; d.Offload() != want {
					t.Errorf("Offload() = %t, want %t", d.Offload(), want)
				}
				checkLink(t, ns, d)
				checkFlags(t, d)
			})
		}
	})
}

// checkLink compares with what the kernel has.
func checkLink(t *testing.T, ns *netns, d tunnel.Device) {
	t.Helper()
	got := ns.attrs(t, d.Name())
	if got == nil {
		t.Fatalf("there is no %s", d.Name())
	}
	if got.MTU != d.MTU() || got.TxQLen != tunnel.RingLen || got.Flags&net.FlagUp != 0 {
		t.Errorf("link has mtu %d, txqueuelen %d, %v, want %d, %d, not up", got.MTU, got.TxQLen, got.Flags, d.MTU(), tunnel.RingLen)
	}
	if err := tunnel.Up(d); err != nil {
		t.Fatal(err)
	}
	if got := ns.attrs(t, d.Name()); got.Flags&net.FlagUp == 0 {
		t.Errorf("after Up, link is %v", got.Flags)
	}
	if _, err := net.InterfaceByName(d.Name()); err == nil {
		t.Errorf("%s stands in the namespace of the test too", d.Name())
	}
}

func checkFlags(t *testing.T, d tunnel.Device) {
	t.Helper()
	want := uint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if d.Offload() {
		want |= unix.IFF_VNET_HDR
	}
	if d.Queues() > 1 {
		want |= unix.IFF_MULTI_QUEUE
	}
	flags, err := tunnel.Flags(d)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range flags {
		if got != want {
			t.Errorf("queue %d has flags %#04x, want %#04x", i, got, want)
		}
	}
}

// Names are counted by the kernel, in the namespace and not beyond.
func TestOpenSeveral(t *testing.T) {
	a, b := newNetns(t), newNetns(t)
	for i, ns := range []*netns{a, a, b} {
		d := ns.open(t, tunnel.Config{})
		if want := []string{"mgl0", "mgl1", "mgl0"}[i]; d.Name() != want {
			t.Errorf("device %d is %s, want %s", i, d.Name(), want)
		}
	}
}

func TestOpenRefused(t *testing.T) {
	dropPrivilege := func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		return unix.Capset(&header, &none[0])
	}
	hideTUN := func() error {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		return unix.Mount("none", "/dev/net", "tmpfs", 0, "")
	}
	tests := []struct {
		name    string
		config  tunnel.Config
		prepare func() error
		want    error
	}{
		{"name too long", tunnel.Config{Name: "this-name-is-way-too-long"}, nil, fs.ErrInvalid},
		{"name of 16", tunnel.Config{Name: "sixteen-letters-"}, nil, fs.ErrInvalid},
		{"name with slash", tunnel.Config{Name: "a/b"}, nil, unix.EINVAL},
		{"name in use", tunnel.Config{Name: "lo"}, nil, fs.ErrExist},
		{"mtu too small", tunnel.Config{MTU: 67}, nil, fs.ErrInvalid},
		{"mtu too large", tunnel.Config{MTU: 65536}, nil, fs.ErrInvalid},
		{"negative mtu", tunnel.Config{MTU: -1}, nil, fs.ErrInvalid},
		{"too many queues", tunnel.Config{Queues: 257}, nil, fs.ErrInvalid},
		{"negative queues", tunnel.Config{Queues: -1}, nil, fs.ErrInvalid},
		{"no privilege", tunnel.Config{}, dropPrivilege, fs.ErrPermission},
		{"no privilege, two queues", tunnel.Config{Queues: 2}, dropPrivilege, fs.ErrPermission},
		{"no /dev/net/tun", tunnel.Config{}, hideTUN, fs.ErrNotExist},
	}
	eachMode(t, func(t *testing.T, mode tunnel.OffloadMode) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				ns := newThread(t, unix.CLONE_NEWNET|unix.CLONE_NEWNS)
				if test.prepare != nil {
					ns.must(t, test.prepare)
				}
				test.config.Offload = mode
				before := openFiles(t)
				for range 20 {
					d, err := ns.tryOpen(test.config)
					if !errors.Is(err, test.want) {
						t.Fatalf("Open: %v, want %v", err, test.want)
					}
					if d != nil {
						t.Fatalf("Open returned %T with an error", d)
					}
					if !strings.HasPrefix(err.Error(), "open tun ") {
						t.Fatalf("error %q does not say what was being done", err)
					}
				}
				before.compare(t)
			})
		}
	})
}

func TestOpenUnknownMode(t *testing.T) {
	if _, err := tunnel.Open(tunnel.Config{Offload: 99}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Open: %v, want fs.ErrInvalid", err)
	}
}

// A device that somebody made to last is refused, and lasts.
func TestOpenLeavesPersistentDevice(t *testing.T) {
	eachMode(t, func(t *testing.T, mode tunnel.OffloadMode) {
		ns := newNetns(t)
		ns.must(t, func() error {
			return netlink.LinkAdd(&netlink.Tuntap{
				LinkAttrs: netlink.LinkAttrs{Name: "theirs"},
				Mode:      netlink.TUNTAP_MODE_TUN,
				Flags:     netlink.TUNTAP_NO_PI,
			})
		})
		if _, err := ns.tryOpen(tunnel.Config{Name: "theirs", Offload: mode}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Open: %v, want fs.ErrExist", err)
		}
		if ns.attrs(t, "theirs") == nil {
			t.Error("the device of others is gone")
		}
	})
}

func TestNoFilesLeft(t *testing.T) {
	eachMode(t, func(t *testing.T, mode tunnel.OffloadMode) {
		ns := newNetns(t)
		before := openFiles(t)
		for range 50 {
			d, err := ns.tryOpen(tunnel.Config{Queues: 2, Offload: mode})
			if err != nil {
				t.Fatal(err)
			}
			p, err := tunnel.NewPoller(queues(d)...)
			if err != nil {
				t.Fatal(err)
			}
			opened := openFiles(t).since(before)
			if len(opened) != 2+2+3 { // queues; socket and counters; poller
				t.Fatalf("a device and its poller have files %v", opened.sorted())
			}
			opened.checkInherited(t)
			if err := errors.Join(d.Close(), p.Close()); err != nil {
				t.Fatal(err)
			}
		}
		before.compare(t)
	})
}

func TestCloseRemovesDevice(t *testing.T) {
	eachMode(t, func(t *testing.T, mode tunnel.OffloadMode) {
		ns := newNetns(t)
		d := ns.open(t, tunnel.Config{Queues: 2, Offload: mode})
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if ns.attrs(t, d.Name()) != nil {
			t.Errorf("%s is still there", d.Name())
		}
		if err := tunnel.Up(d); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Up after Close: %v, want os.ErrClosed", err)
		}
	})
}

// A killed process leaves no device behind.
func TestKillRemovesDevice(t *testing.T) {
	eachMode(t, func(t *testing.T, mode tunnel.OffloadMode) {
		ns := newNetns(t)
		process := startHolding(t, ns, mode)
		if ns.attrs(t, "held") == nil {
			t.Fatal("the process has no device")
		}
		if err := process.Kill(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(receiveTimeout); ns.attrs(t, "held") != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the device has outlived its process")
			}
		}
	})
}

// startHolding starts a process in the namespace that opens a device.
func startHolding(t *testing.T, ns *netns, mode tunnel.OffloadMode) *os.Process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%v", holdDevice, mode))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ns.must(t, cmd.Start)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the process says %q, %v", line, err)
	}
	return cmd.Process
}

// If somebody deletes the link, that is neither an empty queue nor our Close.
func TestDeletedLink(t *testing.T) {
	eachMode(t, func(t *testing.T, mode tunnel.OffloadMode) {
		ns := newNetns(t)
		d := ns.open(t, tunnel.Config{Offload: mode})
		p, err := tunnel.NewPoller(d.Queue(0))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		done := waits(p, -1)
		blocks(t, done)
		ns.must(t, func() error {
			link, err := netlink.LinkByName(d.Name())
			if err != nil {
				return err
			}
			return netlink.LinkDel(link)
		})
		returns(t, "the link is gone", done)
		_, _, err = d.Queue(0).Read(make([]byte, tunnel.MaxPacket))
		if err == nil || err == tunnel.ErrEmpty || errors.Is(err, os.ErrClosed) {
			t.Errorf("Read: %v, want the device's end", err)
		}
		if _, err := d.Dropped(); err == nil {
			t.Error("Dropped of a deleted link has no error")
		}
	})
}

// A device that is down takes nothing, and says so.
func TestWriteWhileDown(t *testing.T) {
	eachMode(t, func(t *testing.T, mode tunnel.OffloadMode) {
		ns := newNetns(t)
		d := ns.open(t, tunnel.Config{Offload: mode})
		if err := d.Queue(0).Write(tunnel.Header{}, tcpIPv4(0), nil); err == nil {
			t.Error("Write while the link is down has no error")
		}
	})
}
