package netns

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Capability is a right of this process that some ways to work need.
type Capability int

// The capabilities.
const (
	NetAdmin Capability = unix.CAP_NET_ADMIN // devices, routes, sysctls
	SysAdmin Capability = unix.CAP_SYS_ADMIN // to make namespaces, and to enter others'
	BPF      Capability = unix.CAP_BPF       // to steer packets to workers
)

// Has tells whether this process has a capability. The kernel takes programs only from who
// has the right to in the first user namespace.
func Has(c Capability) bool { return capable(int(c)) && (c != BPF || inFirstUserNS()) }

// inFirstUserNS tells whether user numbers are mapped as they are (user_namespaces(7)).
func inFirstUserNS() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && slices.Equal(strings.Fields(string(text)), []string{"0", "0", "4294967295"})
}

// CheckTUN tells whether the TUN device may be opened; the error is a *MissingError.
func CheckTUN() error { return checkTUN(tunFile) }

// CheckUserNS tells whether a process without rights can have a namespace in which it
// is root; the error is a *MissingError.
func CheckUserNS() error { return checkUserNS() }

// CheckNS tells whether this process can make a network namespace and list its
// sockets; the error is a *MissingError.
func CheckNS() error { return checkNS() }

// CheckDestroy tells whether sockets can be taken away from their owners; the error is a
// *MissingError.
func CheckDestroy() error {
	err := inNew(func(n *NS) error {
		fd := -1
		if err := n.Do(func() (err error) { fd, err = listener(); return err }); err != nil {
			return err
		}
		defer unix.Close(fd)
		socks, err := n.Sockets()
		if err == nil && len(socks) == 0 {
			return errors.New("a socket is not listed")
		}
		if err != nil {
			return err
		}
		return n.Destroy(socks[0])
	})
	if err != nil {
		return &MissingError{What: "sock_diag destroy", Hint: "a kernel with CONFIG_INET_DIAG_DESTROY", Err: err}
	}
	return nil
}

// listener is a socket that listens, of TCP and nothing more.
func listener() (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP); err != nil {
		return -1, err
	}
	return fd, unix.Listen(fd, 1)
}

// CheckNFTables tells whether addresses can be translated; the error is a *MissingError.
func CheckNFTables() error {
	err := inNew(func(n *NS) error {
		t, err := n.OpenTable()
		if err != nil {
			return err
		}
		one := netip.MustParsePrefix("192.0.2.0/24")
		return errors.Join(t.Add("check",
			PacketRule{Hook: Leaving, Src: one, Do: Masquerade},
			PacketRule{Hook: Arriving, Local: true, Do: Redirect, To: netip.AddrPortFrom(one.Addr(), 1), Proto: unix.IPPROTO_TCP},
			PacketRule{Hook: Arrived, Dst: one, Do: Rename, From: one.Addr(), Ports: [2]uint16{1, 2}},
			PacketRule{Hook: Forwarded, In: "mangle*", New: true, Do: Refuse},
		), t.Close())
	})
	if err != nil {
		return &MissingError{What: "nftables", Hint: "modprobe -a nf_tables nft_chain_nat nft_masq nft_nat nft_ct nft_fib_inet", Err: err}
	}
	return nil
}

// inNew calls f with a namespace that is there for it only.
func inNew(f func(*NS) error) error {
	n, err := New()
	if err != nil {
		return err
	}
	defer n.Close()
	return f(n)
}
